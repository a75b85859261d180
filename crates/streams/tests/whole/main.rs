//! The whole path, from entries to acknowledged events, on SQLite and on real Redis.
//!
//! A test is written once, against a [`Site`](site::Site); the macro below makes one test per
//! backend of it. Each test has a server or a file of its own.

#![cfg(test)]
#![expect(
    clippy::print_stdout,
    reason = "children report to their parents by lines"
)]
mod dead_letters;
mod failing;
mod flow;
mod handing_over;
mod processes;
mod repartitioning;
mod site;
mod standing_still;

/// Instantiates tests for each backend, under `sqlite::` and `redis::`.
macro_rules! on_each_store {
    ($($module:ident: $($name:ident),+ $(,)?;)+) => {
        mod sqlite {
            $(mod $module {$(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    crate::$module::$name(crate::site::Site::sqlite().await).await;
                }
            )+})+
        }
        mod redis {
            $(mod $module {$(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    crate::$module::$name(crate::site::Site::redis().await).await;
                }
            )+})+
        }
    };
}

/// On Redis alone: a process that is stopped within a write to an SQLite file locks all others out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_stopped_does_no_harm_when_it_goes_on() {
    let site = site::Site::redis().await;
    processes::a_process_that_was_stopped_does_no_harm_when_it_goes_on(site).await;
}

/// A hundred thousand events, on Redis alone, for the time that it takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_come_and_go_in_order_repeat_nothing() {
    let site = site::Site::redis().await;
    processes::workers_that_come_and_go_in_order_repeat_nothing(site).await;
}

on_each_store! {
    flow:
        events_come_in_the_order_of_their_partition,
        a_batch_holds_what_is_there,
        a_batch_waits_for_more_only_within_its_time,
        an_idle_partition_wakes_up_for_a_new_event,
        keys_are_processed_concurrently_and_each_in_order,
        a_stalled_partition_holds_up_no_other,
        what_every_group_has_acknowledged_is_trimmed;
    failing:
        halt_stops_the_worker_and_keeps_the_entry_first,
        ignore_acknowledges_and_goes_on,
        a_dead_letter_is_stored_and_the_rest_goes_on,
        a_batch_that_fails_is_handed_out_one_by_one,
        retry_tries_again_in_place_and_then_does_what_comes_then,
        a_panic_is_a_failure_like_any_other,
        an_undecodable_entry_is_a_dead_letter_whatever_the_policy,
        a_function_that_returns_early_is_called_again;
    dead_letters:
        a_retried_letter_is_processed_again_and_gone,
        a_discarded_letter_is_gone_and_the_others_stay,
        a_letter_is_not_stored_twice_when_its_owner_died_before_the_ack,
        one_command_at_a_time_is_at_the_desk;
    handing_over:
        pending_entries_come_first_for_a_new_owner,
        a_shutdown_lets_the_function_finish_what_is_in_hand,
        after_the_grace_the_function_is_dropped_and_its_event_stays_pending,
        a_zombie_cannot_acknowledge,
        two_workers_share_the_partitions_and_nothing_is_lost,
        a_static_member_has_its_partitions_again_after_a_restart;
    processes:
        killed_workers_lose_nothing_and_repeat_nothing_behind_a_fence;
    repartitioning:
        four_sixteen_and_three_partitions_keep_the_order_of_each_key,
        a_change_that_died_between_any_two_steps_holds_nobody_up,
        a_sender_with_an_old_belief_keeps_the_order_of_each_key,
        a_request_id_is_known_again_across_a_change,
        new_partitions_wait_for_what_stands_still_in_the_old_ones,
        a_replay_comes_in_the_order_of_the_generations,
        a_description_with_another_number_changes_nothing,
        a_full_partition_gets_other_ones,
        what_cannot_be_planned_is_refused;
    standing_still:
        a_quarantined_partition_stands_still_and_the_others_go_on,
        a_quarantine_survives_a_restart,
        a_parked_key_waits_in_order_and_goes_on_when_released,
        a_parked_key_of_a_lane_waits_as_well,
        parked_keys_stay_parked_after_a_restart,
        retries_come_before_parking;
}
