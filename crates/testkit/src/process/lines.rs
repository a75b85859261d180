//! The captured lines of a process: written by two reader threads, awaited by the test.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How many lines are kept; beyond that the oldest are forgotten.
const LINES_MAX: usize = 100_000;

/// How many of the last lines go into an error.
const TAIL_LINES_MAX: usize = 40;

/// Where a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The standard output.
    Output,
    /// The standard error.
    Errors,
}

/// How a wait for a line ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// The line.
    Seen(String),
    /// The process has closed its output, and no line matched.
    Closed,
    /// Time was up, and no line matched.
    TimedOut,
}

/// The lines of one process.
#[derive(Debug, Default)]
pub(super) struct Lines {
    state: Mutex<State>,
    /// Tells waiting tests that a line came or a pipe closed.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    kept: VecDeque<(Source, String)>,
    /// How many older lines were forgotten: the number of the first one that is kept.
    forgotten: usize,
    /// The number of the first line that no earlier wait has passed.
    passed: usize,
    /// How many pipes are still open.
    open: usize,
}

impl Lines {
    /// Starts a thread that reads lines until `pipe` closes.
    pub(super) fn read_from(
        self: &Arc<Self>,
        source: Source,
        pipe: Option<impl Read + Send + 'static>,
    ) -> io::Result<()> {
        let Some(pipe) = pipe else { return Ok(()) };
        let lines = Arc::clone(self);
        self.state().open += 1;
        thread::Builder::new()
            .name("testkit-lines".to_owned())
            .spawn(move || {
                for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                    let text = String::from_utf8_lossy(&line);
                    lines.push(source, text.strip_suffix('\r').unwrap_or(&text).to_owned());
                }
                lines.state().open -= 1;
                lines.changed.send_replace(());
            })?;
        Ok(())
    }

    /// Waits for a line that no earlier wait has passed.
    pub(super) async fn wait_for(
        &self,
        mut predicate: impl FnMut(&str) -> bool,
        within: Duration,
    ) -> Awaited {
        let mut changes = self.changed.subscribe();
        let search = async {
            let mut looked_at = 0;
            loop {
                if let Some(end) = self.search(&mut looked_at, &mut predicate) {
                    return end;
                }
                // The sender is ours, so this cannot fail.
                changes.changed().await.ok();
            }
        };
        timeout(within, search).await.unwrap_or(Awaited::TimedOut)
    }

    /// Waits until both pipes are closed, or time is up.
    pub(super) async fn wait_until_closed(&self, within: Duration) {
        let mut changes = self.changed.subscribe();
        let closed = async {
            while self.state().open > 0 {
                changes.changed().await.ok();
            }
        };
        timeout(within, closed).await.ok();
    }

    /// All kept lines of one source.
    pub(super) fn of(&self, source: Source) -> Vec<String> {
        let state = self.state();
        state
            .kept
            .iter()
            .filter(|(from, _)| *from == source)
            .map(|(_, it)| it.clone())
            .collect()
    }

    /// The last lines, as text.
    pub(super) fn tail(&self) -> String {
        let state = self.state();
        let skipped = state.kept.len().saturating_sub(TAIL_LINES_MAX);
        let last: Vec<&str> = state
            .kept
            .iter()
            .skip(skipped)
            .map(|(_, it)| it.as_str())
            .collect();
        last.join("\n")
    }

    /// Looks at the lines from the number `looked_at` on; a match passes all lines up to it.
    fn search(
        &self,
        looked_at: &mut usize,
        predicate: &mut impl FnMut(&str) -> bool,
    ) -> Option<Awaited> {
        let mut state = self.state();
        let start = state.passed.max(*looked_at);
        let numbered = (state.forgotten..).zip(&state.kept);
        let mut unseen = numbered.skip(start.saturating_sub(state.forgotten));
        if let Some((number, (_, line))) = unseen.find(|(_, (_, it))| predicate(it)) {
            let seen = Awaited::Seen(line.clone());
            state.passed = number + 1;
            return Some(seen);
        }
        *looked_at = state.forgotten + state.kept.len();
        (state.open == 0).then_some(Awaited::Closed)
    }

    fn push(&self, source: Source, line: String) {
        let mut state = self.state();
        if state.kept.len() == LINES_MAX {
            state.kept.pop_front();
            state.forgotten += 1;
        }
        state.kept.push_back((source, line));
        drop(state);
        self.changed.send_replace(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn lines_of(text: &'static str) -> Arc<Lines> {
        let lines = Arc::new(Lines::default());
        lines
            .read_from(Source::Output, Some(text.as_bytes()))
            .unwrap();
        lines
    }

    #[tokio::test]
    async fn a_wait_begins_after_the_line_that_the_last_one_returned() {
        let lines = lines_of("a 1\nb\na 2\r\n");
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(lines.wait_for(|it| it.starts_with('a'), SOON).await);
        }
        let expected = [
            Awaited::Seen("a 1".to_owned()),
            Awaited::Seen("a 2".to_owned()),
            Awaited::Closed,
        ];
        assert_eq!(seen, expected);
    }

    #[tokio::test]
    async fn a_full_buffer_forgets_the_oldest_and_still_finds_the_newest() {
        let lines = lines_of("");
        for number in 0..=LINES_MAX {
            lines.push(Source::Output, number.to_string());
        }
        assert_eq!(
            lines.wait_for(|it| it == "100", SOON).await,
            Awaited::Seen("100".to_owned())
        );
        lines.push(Source::Output, "last".to_owned());
        assert_eq!(
            lines.wait_for(|it| it == "last", SOON).await,
            Awaited::Seen("last".to_owned())
        );
        assert_eq!(lines.of(Source::Output).len(), LINES_MAX);
    }
}
