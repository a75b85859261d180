//! The conformance suite: what the comments of the port promise, run against every backend.
//!
//! A case is written once, against a [`Site`](site::Site) that opens any number of handles on one
//! set of data; the macros below make tests of it for each backend:
//!
//! ```text
//! sqlite, redis              a test for each case, with a file or a server of its own
//! redis_8, valkey_9, cluster a test for each module: its cases one after the other on one server
//! …_of_apps                  the same on the streams of an app, whose keys are other ones
//! ```
//!
//! `redis` is the server on the `PATH` (7.0 on Debian 12); the others are fetched by
//! `cargo xtask setup`. A server that is missing fails its tests, which name the command.

#![cfg(test)]

mod append;
mod fencing;
mod group;
mod lag;
mod lease;
mod mark;
mod member;
mod park;
mod promise;
mod read;
mod reset;
mod seal;
mod site;
mod trim;
mod wait;

/// A test for each case, on data of its own.
macro_rules! one_by_one {
    ($backend:ident, $of_app:expr, $($module:ident: [$($name:ident),+ $(,)?];)+) => {
        mod $backend {$(
            mod $module {$(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let site = crate::site::Site::$backend().await;
                    crate::site::run($of_app, crate::$module::$name(site)).await;
                }
            )+}
        )+}
    };
}

/// A test for each module, whose cases share a server that is cleared between them.
macro_rules! together {
    ($name_of:ident, $backend:ident, $of_app:expr,
     $($module:ident: [$($name:ident),+ $(,)?];)+) => {
        mod $name_of {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $module() {
                let shared = crate::site::Shared::$backend().await;
                $(
                    // Where a case fails, this is its name.
                    println!("{}", stringify!($name));
                    let site = shared.site().await;
                    crate::site::run($of_app, crate::$module::$name(site)).await;
                )+
            }
        )+}
    };
}

/// The one list of cases, made into tests for each backend. What is on the `streams_and_apps`
/// side is run for the streams of an app as well, on Redis and on a Cluster: where the keys matter.
macro_rules! conformance {
    (streams { $($once:tt)+ } streams_and_apps { $($twice:tt)+ }) => {
        one_by_one! { sqlite, false, $($once)+ $($twice)+ }
        one_by_one! { redis, false, $($once)+ $($twice)+ }
        together! { redis_8, redis_8, false, $($once)+ $($twice)+ }
        together! { valkey_9, valkey_9, false, $($once)+ $($twice)+ }
        together! { cluster, cluster, false, $($once)+ $($twice)+ }
        together! { redis_of_apps, redis, true, $($twice)+ }
        together! { redis_8_of_apps, redis_8, true, $($twice)+ }
        together! { valkey_9_of_apps, valkey_9, true, $($twice)+ }
        together! { cluster_of_apps, cluster, true, $($twice)+ }
    };
}

conformance! {
    streams {
        append: [
            append_keeps_order_in_each_partition,
            ids_come_back_in_the_order_of_the_call,
            ids_only_grow,
            appending_nothing_returns_nothing,
            an_entry_without_fields_is_refused,
            binary_and_empty_field_values_round_trip,
            a_field_name_may_occur_twice,
            large_entries,
            many_callers_append_at_once,
            two_handles_append_to_one_partition,
        ];
        promise: [
            each_entry_has_a_result_in_the_order_of_the_call,
            a_full_partition_refuses_and_keeps_what_it_has,
            a_full_partition_has_room_again_after_a_trim,
            producers_overshoot_a_high_water_mark_by_one_chunk_each_at_most,
            drop_oldest_keeps_about_so_many_of_the_newest,
            a_reader_of_what_was_dropped_goes_on_with_what_is_left,
            the_same_request_is_appended_once,
            a_request_twice_in_one_call_is_appended_once,
            a_request_sent_by_many_at_once_is_appended_once,
            a_request_is_forgotten_after_its_window,
            a_request_id_belongs_to_its_partition,
            without_a_window_a_request_id_is_not_looked_at,
            a_known_request_is_known_in_a_full_partition_too,
            options_that_make_no_sense_are_invalid_for_each_entry,
        ];
        seal: [
            a_sealed_partition_refuses_and_keeps_what_it_has,
            a_partition_that_nobody_appended_to_can_be_sealed,
            a_sealed_partition_is_read_to_its_end_and_trimmed,
            a_sealed_partition_answers_what_it_knows,
            an_append_happens_before_the_seal_or_not_at_all,
            the_groups_of_a_partition_are_named,
            a_drains_partition_is_not_sealed,
        ];
        read: [
            unknown_stream_reads_empty,
            read_starts_after_the_position,
            read_limit_by_entries_is_exact,
            read_limit_by_bytes_brings_one_entry_at_least,
            pages_of_a_read_lose_nothing,
            reading_has_no_side_effect,
            a_second_handle_reads_what_the_first_appended,
            streams_of_different_kinds_are_apart,
            ping_answers,
        ];
        trim: [
            trim_deletes_what_every_group_has_acknowledged,
            trim_spares_what_a_slower_group_has_not_acknowledged,
            trim_spares_pending_entries,
            trim_spares_what_was_not_delivered,
            trim_before_any_fetch_deletes_nothing,
            trim_follows_acknowledge_through,
            trim_leaves_other_partitions_alone,
            trim_leaves_what_is_to_be_kept,
            trim_of_many_entries,
            ids_grow_past_trimmed_entries,
        ];
        park: [
            parked_entries_keep_their_order_and_fields,
            only_pending_entries_are_parked,
            a_stale_owner_parks_and_unparks_nothing,
            unparked_entries_are_gone,
            many_entries_are_parked_at_once,
            only_an_apps_stream_can_be_parked,
        ];
        lag: [
            lag_counts,
            lag_counts_after_trim,
            lag_of_an_unknown_stream_is_zero,
            lag_answers_in_the_order_of_the_question,
        ];
        wait: [
            wait_answers_at_once_for_entries_that_are_there,
            wait_wakes_on_append_from_another_handle,
            wait_wakes_on_append_of_the_same_handle,
            wait_names_the_partition_that_has_news,
            wait_returns_none_after_the_timeout,
            wait_returns_at_interrupt,
            an_interrupt_before_the_wait_counts,
            wait_without_positions_waits_for_the_interrupt,
            waiters_of_one_handle_queue,
            a_dropped_wait_does_not_disturb_the_next,
            reads_and_writes_go_on_during_a_wait,
        ];
    }
    streams_and_apps {
        group: [
            a_new_group_begins_at_the_beginning_of_the_stream,
            what_was_fetched_is_not_delivered_again,
            fetch_limit_by_entries_is_exact,
            pending_entries_come_first_for_a_new_owner,
            pending_is_read_page_by_page,
            acknowledged_entries_are_not_pending,
            acknowledge_counts_only_what_was_pending,
            groups_are_independent,
            acknowledge_through_moves_the_group_position,
            acknowledge_through_may_move_backwards,
            acknowledge_through_leaves_nothing_pending,
        ];
        fencing: [
            stale_owner_cannot_acknowledge,
            stale_owner_cannot_acknowledge_through,
            stale_owner_cannot_fetch,
            stale_owner_cannot_trim,
            an_owner_that_released_cannot_acknowledge,
            an_owner_whose_lease_has_ended_cannot_fetch,
            another_worker_with_the_same_epoch_cannot_acknowledge,
            an_older_epoch_of_the_same_worker_cannot_acknowledge,
        ];
        reset: [
            a_reset_group_reads_from_the_beginning,
            a_reset_group_reads_after_an_entry,
            a_reset_group_reads_from_a_time,
            a_reset_group_reads_only_what_is_new,
            a_reset_takes_the_lease_from_a_running_owner,
            a_group_that_never_read_can_be_reset,
        ];
        mark: [
            a_mark_is_read_back_until_it_is_cleared,
            marks_outlive_their_owner_and_a_stale_one_writes_none,
            an_operator_writes_marks_without_a_lease,
            a_leader_has_marks_too,
            marks_are_bounded_in_size_and_number,
        ];
        lease: [
            a_held_lease_is_not_given_twice,
            an_expired_lease_is_stolen_with_a_larger_epoch,
            epochs_grow_across_release,
            an_epoch_is_never_below_the_floor,
            renew_moves_the_end,
            renew_after_expiry_is_refused,
            renew_answers_for_each_lease_in_order,
            a_lost_lease_is_neither_renewed_nor_released,
            release_frees_the_lease_at_once,
            holders_are_told_with_epoch_and_end,
            leases_of_groups_and_partitions_are_independent,
            two_handles_race_for_one_lease_and_one_wins,
            a_worker_that_knows_the_epoch_takes_its_own_lease_again,
            an_app_has_one_leader_whatever_the_group,
        ];
        member: [
            beat_lists_live_workers_and_forgets_dead_ones,
            a_beat_keeps_a_worker_alive,
            workers_are_sorted,
            a_worker_that_left_is_not_listed,
            leaving_does_not_touch_leases,
            members_of_groups_and_streams_are_apart,
            joins_leaves_and_deaths_are_announced_once,
            a_control_stream_is_bounded,
        ];
    }
}
