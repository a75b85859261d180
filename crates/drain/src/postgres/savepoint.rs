//! Where an attempt to write stands: what has to be sent before it, and how it is taken back.
//!
//! ```text
//! Clean ──attempt──► Sole ──other statement──► Outside
//!   ▲                 │                           │
//!   └─ROLLBACK AND CHAIN                          │ SAVEPOINT
//!                                                 ▼
//!                       Used ◄──attempt── Fresh ◄─┘
//!                        │                  ▲
//!                        └──ROLLBACK TO─────┘
//! ```
//!
//! The first attempt of a transaction needs no savepoint, as taking it back takes all back; most
//! transactions have no second one. Pure; it guarantees that what was written before an attempt,
//! and is not part of it, is never taken back with it.

/// What a transaction holds, and whether there is a savepoint in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// Nothing was written.
    Clean,
    /// The last attempt, and nothing else.
    Sole,
    /// Something that must stay; no savepoint was set after it.
    Outside,
    /// A savepoint was set, and nothing was written after it.
    Fresh,
    /// A savepoint was set, and the last attempt was written after it, or something that must stay.
    Used,
}

impl Ground {
    /// The statements to be sent before an attempt.
    pub(super) fn prepare(&mut self) -> &'static str {
        let (next, sql) = match self {
            Self::Clean => (Self::Clean, ""),
            Self::Fresh => (Self::Fresh, ""),
            Self::Sole | Self::Outside => (Self::Fresh, "SAVEPOINT tidegate"),
            // One savepoint at a time, however many attempts a transaction makes.
            Self::Used => (
                Self::Fresh,
                "RELEASE SAVEPOINT tidegate; SAVEPOINT tidegate",
            ),
        };
        *self = next;
        sql
    }

    /// The attempt is written.
    pub(super) fn keep(&mut self) {
        *self = match self {
            Self::Clean | Self::Sole => Self::Sole,
            _ => Self::Used,
        };
    }

    /// The statement that takes the last attempt back, whether it succeeded or not.
    pub(super) fn undo(&mut self) -> &'static str {
        let (next, sql) = match self {
            Self::Clean | Self::Sole => (Self::Clean, "ROLLBACK AND CHAIN"),
            _ => (Self::Fresh, "ROLLBACK TO SAVEPOINT tidegate"),
        };
        *self = next;
        sql
    }

    /// Something else is written, which must stay.
    pub(super) fn touch(&mut self) {
        *self = match self {
            Self::Clean | Self::Sole | Self::Outside => Self::Outside,
            Self::Fresh | Self::Used => Self::Used,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a database would do: the writes that are there, and how many were at the savepoint.
    #[derive(Default)]
    struct Model {
        writes: Vec<u32>,
        savepoint: Option<usize>,
    }

    impl Model {
        fn run(&mut self, sql: &str) {
            for statement in sql.split("; ").filter(|statement| !statement.is_empty()) {
                match statement {
                    "SAVEPOINT tidegate" => self.savepoint = Some(self.writes.len()),
                    "RELEASE SAVEPOINT tidegate" => {
                        self.savepoint.take().expect("a savepoint to release");
                    }
                    "ROLLBACK TO SAVEPOINT tidegate" => {
                        self.writes.truncate(self.savepoint.expect("a savepoint"));
                    }
                    "ROLLBACK AND CHAIN" => *self = Self::default(),
                    other => panic!("{other}"),
                }
            }
        }
    }

    proptest! {
        /// Whatever a transaction does, an attempt that is taken back is gone, and the rest is not.
        #[test]
        fn only_the_last_attempt_is_taken_back(steps in prop::collection::vec(0..4_u8, 0..30)) {
            let (mut ground, mut model, mut expected) = (Ground::Clean, Model::default(), Vec::new());
            for (number, step) in (0..).zip(steps) {
                if step == 0 {
                    ground.touch();
                    model.writes.push(number);
                    expected.push(number);
                    continue;
                }
                model.run(ground.prepare());
                model.writes.push(number);
                if step == 1 {
                    ground.keep();
                    expected.push(number);
                    continue;
                }
                if step == 2 {
                    // Written, looked at, and taken back all the same.
                    ground.keep();
                }
                model.run(ground.undo());
                prop_assert_eq!(&model.writes, &expected);
            }
            prop_assert_eq!(model.writes, expected);
        }
    }
}
