//! Progress: the bars and live lines of a terminal, and what is written beside them.
//!
//! All of them are drawn on the standard error, so that they never mix with a result; without a
//! terminal there they are not drawn at all.

use std::io::Write;
use std::sync::LazyLock;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How often a live line moves.
const TICK: Duration = Duration::from_millis(120);

/// Everything that is drawn now.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Runs something that writes to the terminal while the bars are out of its way.
pub(crate) fn beside_bars<T>(write: impl FnOnce() -> T) -> T {
    BARS.suspend(write)
}

/// Whether somebody sees bars.
pub(crate) fn is_visible() -> bool {
    !BARS.is_hidden()
}

/// A bar over a number of bytes.
pub(crate) fn bytes_bar(bytes: u64) -> ProgressBar {
    styled(
        ProgressBar::new(bytes),
        "{bar:32} {bytes}/{total_bytes} {bytes_per_sec} {wide_msg}",
    )
}

/// A bar over a number of operations.
pub(crate) fn count_bar(count: u64) -> ProgressBar {
    styled(
        ProgressBar::new(count),
        "{prefix:>10} {bar:32} {human_pos}/{human_len} {wide_msg}",
    )
}

/// A line that lives until it is finished.
pub(crate) fn live_line() -> ProgressBar {
    let line = styled(ProgressBar::new_spinner(), "{spinner} {wide_msg}");
    line.enable_steady_tick(TICK);
    line
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    let bar = BARS.add(bar);
    // A template is a constant; a broken one is seen by the first who looks, and harms nothing.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar
}

/// Prints a warning on the standard error.
pub(crate) fn warn(text: &str) {
    let label = console::style("warning:").yellow().bold().for_stderr();
    note(&format!("{label} {}", text));
}

/// Prints a line on the standard error.
pub(crate) fn note(text: &str) {
    // With no standard error there is nobody to be told.
    let _ = beside_bars(|| writeln!(std::io::stderr().lock(), "{text}"));
}
