//! What the comments of the port of tasks promise, run against every backend.
//!
//! A case is written once, against a [`Site`](site::Site) that opens any number of handles on one
//! set of data; the macros below make tests of it for each backend, as in `tests/conformance`.

#![cfg(test)]

mod enqueue;
mod finish;
mod group;
mod limits;
mod model;
mod operate;
mod order;
mod outage;
mod schedule;
mod site;
mod unique;
mod wait;
mod workers;

/// A test for each case, on data of its own.
macro_rules! one_by_one {
    ($backend:ident, $($module:ident: [$($name:ident),+ $(,)?];)+) => {
        mod $backend {$(
            mod $module {$(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    crate::$module::$name(crate::site::Site::$backend().await).await;
                }
            )+}
        )+}
    };
}

/// A test for each module, whose cases share a server that is cleared between them.
macro_rules! together {
    ($backend:ident, $($module:ident: [$($name:ident),+ $(,)?];)+) => {
        mod $backend {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $module() {
                let shared = crate::site::Shared::$backend().await;
                $(
                    // Where a case fails, this is its name.
                    println!("{}", stringify!($name));
                    crate::$module::$name(shared.site().await).await;
                )+
            }
        )+}
    };
}

/// The one list of cases, made into tests for each backend.
macro_rules! conformance {
    ($($cases:tt)+) => {
        one_by_one! { memory, $($cases)+ }
        one_by_one! { sqlite, $($cases)+ }
        one_by_one! { redis, $($cases)+ }
        together! { redis_8, $($cases)+ }
        together! { valkey_9, $($cases)+ }
        together! { cluster, $($cases)+ }
    };
}

conformance! {
    enqueue: [
        tasks_are_taken_in_the_order_of_the_call,
        all_of_a_task_is_read_back,
        a_task_of_the_same_id_is_a_duplicate,
        a_task_twice_in_one_call_is_enqueued_once,
        a_task_that_is_too_large_is_refused_and_the_others_are_not,
        a_delayed_task_waits_for_its_time,
        a_task_whose_time_is_past_is_ready,
        thousands_of_tasks_go_through_in_one_call,
        enqueueing_nothing_answers_nothing,
    ];
    finish: [
        a_done_task_leaves_the_queue,
        an_attempt_ends_once,
        an_attempt_named_twice_in_one_call_ends_once,
        a_retried_task_comes_again_with_the_next_attempt,
        a_retry_with_a_delay_waits,
        a_dead_task_keeps_payload_error_and_attempts,
        an_unknown_task_stays_for_a_person,
        a_returned_task_is_not_counted_and_keeps_its_place,
        fences_only_grow,
        results_are_kept_for_their_lifetime,
        progress_is_shown_while_the_task_runs,
        long_errors_are_cut,
    ];
    order: [
        high_before_normal_before_low,
        tenants_are_served_in_turn,
        tasks_of_one_key_run_one_after_the_other,
        a_key_waits_for_a_retry_of_its_first_task,
        a_delayed_first_task_holds_up_its_key,
        a_key_goes_on_behind_a_dead_task_and_waits_behind_an_unknown_one,
        a_cancelled_task_lets_the_next_of_its_key_through,
    ];
    limits: [
        a_queue_runs_so_many_at_once,
        a_key_runs_so_many_at_once_and_others_go_on,
        a_rate_of_a_queue_says_when_there_is_more,
        a_rate_of_a_key_lets_others_go_on,
        limits_that_let_nothing_begin_are_refused,
    ];
    unique: [
        a_key_is_taken_while_its_task_is_queued,
        a_key_is_taken_until_its_task_is_done,
        a_key_is_taken_for_a_time,
        an_idempotency_key_outlives_its_task,
        a_cancelled_task_gives_up_its_key,
        two_of_one_key_in_one_call,
    ];
    workers: [
        a_worker_that_never_beat_gets_nothing,
        a_live_worker_keeps_its_tasks,
        a_dead_workers_tasks_are_ready_at_once,
        a_stopped_worker_that_comes_back_is_fenced,
        a_task_that_kills_workers_dies_in_the_end,
        a_task_that_must_not_be_repeated_blindly_is_parked,
        a_worker_that_left_is_recovered,
        what_a_worker_was_given_without_an_answer_is_taken_back,
        a_recovered_task_is_told_to_one_caller,
        a_cancel_of_a_lost_task_is_kept,
    ];
    operate: [
        what_waits_is_cancelled_at_once,
        a_running_task_hears_of_its_cancel,
        a_cancelled_running_task_is_not_retried,
        a_paused_queue_gives_nothing,
        purge_cancels_all_that_waits,
        a_dead_task_is_retried_with_all_its_attempts,
        an_unknown_task_is_resolved,
        dead_letters_are_discarded_by_age,
        a_scheduled_task_is_made_due,
        lists_are_paged_by_state,
        queues_of_an_app_are_listed,
        workers_are_listed_with_what_they_hold,
    ];
    group: [
        the_last_member_enqueues_the_callback_once,
        a_member_that_is_done_twice_counts_once,
        a_group_is_opened_once,
        members_that_end_at_once_complete_a_group_once,
        a_group_without_members_is_refused,
    ];
    schedule: [
        a_tick_is_taken_once_however_many_try,
        a_tick_before_the_last_is_late,
        a_paused_schedule_enqueues_nothing,
        a_tick_is_skipped_while_the_last_task_is_about,
        a_declaration_keeps_the_last_tick,
        a_removed_schedule_is_forgotten,
    ];
    wait: [
        a_waiting_worker_hears_of_a_task,
        a_wait_ends_after_its_time,
        a_wait_is_interrupted,
        a_task_that_is_there_already_is_heard_of,
        what_is_left_behind_wakes_the_next,
        a_sooner_delayed_task_wakes_a_sleeper,
        the_end_of_a_pause_wakes_a_sleeper,
        sleepers_sleep_on_a_paused_queue,
        one_of_several_queues_is_named,
    ];
}
