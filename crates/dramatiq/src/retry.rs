//! Whether and when a message is tried again, as Dramatiq's retries decide it. Pure.

use std::time::Duration;

use crate::actor::ActorOptions;
use crate::failure::{Again, Failure};
use crate::json::Json;
use crate::message::Message;
use crate::options::{
    MAX_BACKOFF, MAX_RETRIES, MIN_BACKOFF, REQUEUE_TIMESTAMP, RETRIES, TRACEBACK,
};

/// The pause is doubled at most so often.
const EXPONENT_MAX: u32 = 32;
/// The longest pause, whatever an option says: seven days in milliseconds.
const BACKOFF_MS_MAX: f64 = 7.0 * 86_400_000.0;

/// What becomes of a message that failed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It is tried again after so many milliseconds.
    Again { delay_ms: i64 },
    /// It is not worth another try.
    NotAgain,
    /// It was tried often enough.
    Exhausted {
        /// How often it was tried again.
        retries: i64,
        /// How often it might have been.
        max_retries: i64,
    },
}

/// Decides, and notes in the message's options what Dramatiq notes there.
///
/// `chance` is a random number from 0 to 1, which spreads the pauses.
pub(crate) fn decide(
    message: &mut Message,
    actor: &ActorOptions,
    failure: &Failure,
    now_ms: i64,
    chance: f64,
) -> Verdict {
    if failure.again == Again::Never {
        return Verdict::NotAgain;
    }
    let options = &mut message.options;
    let retries = options.integer(RETRIES).unwrap_or(0).max(0);
    options.set(RETRIES, Json::integer(retries.saturating_add(1)));
    options.set(TRACEBACK, Json::text(&failure.to_string()));
    options.set(REQUEUE_TIMESTAMP, Json::integer(now_ms));

    let max_retries = match options.get(MAX_RETRIES) {
        // Dramatiq reads it as "for ever".
        Some(option) if option.is_null() => None,
        Some(option) => option.as_integer(),
        None => actor
            .max_retries
            .map(|it| i64::try_from(it).unwrap_or(i64::MAX)),
    };
    if let Some(max_retries) = max_retries.filter(|max| retries >= *max) {
        return Verdict::Exhausted {
            retries,
            max_retries,
        };
    }
    if let Again::After(pause) = failure.again {
        let delay_ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        return Verdict::Again { delay_ms };
    }
    let ms = |name, default: Duration| {
        let option = options.get(name).and_then(Json::as_number);
        option.unwrap_or(default.as_secs_f64() * 1_000.0)
    };
    let min_ms = ms(MIN_BACKOFF, actor.min_backoff);
    let max_ms = ms(MAX_BACKOFF, actor.max_backoff);
    Verdict::Again {
        delay_ms: backoff_ms(retries, min_ms, max_ms, chance),
    }
}

/// `min · 2^retries · (1…2)`, or, where that is more than `max`, `max · (½…1)`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the number is between zero and seven days"
)]
fn backoff_ms(retries: i64, min_ms: f64, max_ms: f64, chance: f64) -> i64 {
    let exponent = u32::try_from(retries).map_or(EXPONENT_MAX, |it| it.min(EXPONENT_MAX));
    let max_ms = max_ms.clamp(0.0, BACKOFF_MS_MAX);
    let spread_ms = min_ms.max(0.0) * 2_f64.powi(exponent.cast_signed()) * (1.0 + chance);
    let backoff_ms = if spread_ms > max_ms {
        max_ms * (0.5 + chance / 2.0)
    } else {
        spread_ms
    };
    backoff_ms as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidegate_store::dramatiq::QueueName;

    use super::*;

    fn message(options: &[(&str, &str)]) -> Message {
        let queue = QueueName::new("q").unwrap();
        let args = Json::list([]);
        let mut message = Message::new(&queue, "a", args, Json::empty_object(), 0);
        for (name, value) in options {
            message
                .options
                .set(name, Json::parse(value.as_bytes()).unwrap());
        }
        message
    }

    fn verdict(options: &[(&str, &str)], failure: &Failure) -> Verdict {
        decide(
            &mut message(options),
            &ActorOptions::default(),
            failure,
            7,
            0.0,
        )
    }

    fn failure() -> Failure {
        Failure::new("ValueError", "no")
    }

    #[test]
    fn the_first_retry_comes_after_the_shortest_pause() {
        assert_eq!(
            verdict(&[], &failure()),
            Verdict::Again { delay_ms: 15_000 }
        );
        let options = [("min_backoff", "100"), ("retries", "3")];
        assert_eq!(
            verdict(&options, &failure()),
            Verdict::Again { delay_ms: 800 }
        );
        let options = [
            ("min_backoff", "100"),
            ("retries", "3"),
            ("max_backoff", "300"),
        ];
        assert_eq!(
            verdict(&options, &failure()),
            Verdict::Again { delay_ms: 150 }
        );
    }

    #[test]
    fn a_message_is_tried_as_often_as_its_option_says_or_for_ever() {
        let exhausted = Verdict::Exhausted {
            retries: 2,
            max_retries: 2,
        };
        let options = [("retries", "2"), ("max_retries", "2")];
        assert_eq!(verdict(&options, &failure()), exhausted);
        let exhausted = Verdict::Exhausted {
            retries: 20,
            max_retries: 20,
        };
        assert_eq!(verdict(&[("retries", "20")], &failure()), exhausted);
        let options = [("retries", "2000"), ("max_retries", "null")];
        assert!(matches!(
            verdict(&options, &failure()),
            Verdict::Again { .. }
        ));
    }

    #[test]
    fn a_failure_may_say_when_or_that_never() {
        let after = failure().after(Duration::from_secs(3));
        assert_eq!(verdict(&[], &after), Verdict::Again { delay_ms: 3_000 });
        assert_eq!(verdict(&[], &failure().never_again()), Verdict::NotAgain);
    }

    #[test]
    fn what_dramatiq_notes_is_noted() {
        let mut message = message(&[]);
        decide(&mut message, &ActorOptions::default(), &failure(), 7, 0.0);
        let expected = r#"{"retries":1,"traceback":"ValueError: no","requeue_timestamp":7}"#;
        assert_eq!(message.options.to_json().as_str(), expected);
    }

    proptest! {
        #[test]
        fn a_pause_is_never_longer_than_the_longest(
            retries in any::<i64>(),
            min_ms in any::<f64>(),
            max_ms in any::<f64>(),
            chance in 0.0..=1.0,
        ) {
            let pause_ms = backoff_ms(retries, min_ms, max_ms, chance);
            prop_assert!((0..=7 * 86_400_000).contains(&pause_ms));
        }
    }
}
