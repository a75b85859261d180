//! The summary: the demo's end, for people.

use console::{Style, style};

use super::place::Place;
use super::report::Report;
use super::verify::Findings;
use super::witness::Testimony;
use crate::output::{count, things};
use crate::table::{Column, Table};

/// Tells how it ended.
pub(super) fn tell(
    report: &Report,
    findings: &Findings,
    testimony: Testimony,
    place: &Place,
) -> String {
    let mut text = String::from("\n");
    let mut line = |label: &str, words: String| {
        text.push_str(&format!(
            "  {} {words}\n",
            style(format!("{label:<9}")).cyan()
        ));
    };
    let sent = count(report.operations_sent);
    line(
        "sent",
        format!("{sent} operations of a payments company's day"),
    );
    line("crashed", crashes(report.worker_kills));
    if testimony.waited > 0 {
        let waited = things(testimony.waited, "operation");
        line(
            "waited",
            format!("{waited} came before their parent row, from another shard"),
        );
    }
    let refused = things(report.dead_letters, "malformed operation");
    line(
        "refused",
        format!("{refused}, kept as dead letters with their reasons"),
    );
    line("speed", speed(report));
    text.push('\n');
    text.push_str(&table(findings));
    text.push('\n');
    text.push_str(&verdict(findings));
    text.push('\n');
    text.push_str(&next(place, findings));
    text
}

fn crashes(kills: u64) -> String {
    match kills {
        0 => "never: --no-crash".to_owned(),
        1 => "once: the worker was killed with SIGKILL and started again".to_owned(),
        _ => format!("{kills} times: the worker was killed with SIGKILL and started again"),
    }
}

fn speed(report: &Report) -> String {
    let per_second = format!("{:.0}", report.operations_per_second);
    let per_second = per_second.parse().map_or(per_second, count);
    let including = if report.worker_kills > 0 {
        ", crashes included"
    } else {
        ""
    };
    format!(
        "{per_second} operations/s at full load, in {:.1} s; from send to commit p50 {}, p99 {}{including}",
        report.elapsed_seconds,
        milliseconds(report.delay_ms_p50),
        milliseconds(report.delay_ms_p99),
    )
}

fn milliseconds(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        _ => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
    }
}

fn table(findings: &Findings) -> String {
    let columns = [
        Column::Text("table"),
        Column::Number("expected"),
        Column::Number("found"),
        Column::Number("lost"),
        Column::Number("doubled"),
    ];
    let mut table = Table::new(columns);
    for one in &findings.tables {
        let numbers = [one.expected, one.found, one.lost, one.duplicated].map(count);
        table.row(std::iter::once(one.table.to_owned()).chain(numbers));
    }
    table
        .render()
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect()
}

fn verdict(findings: &Findings) -> String {
    if findings.is_right() {
        let verdict = style("Nothing lost, nothing doubled.").green().bold();
        return format!(
            "  {verdict} Every row is equal to an independent model, column by column.\n"
        );
    }
    let red = Style::new().red().bold();
    let (lost, doubled) = (count(findings.lost()), count(findings.duplicated()));
    let verdict = red.apply_to(format!("{lost} lost, {doubled} doubled."));
    let mut text = format!("  {verdict} This must not happen; the first differences:\n");
    for difference in findings.differences().take(super::compare::DIFFERENCES_MAX) {
        text.push_str(&format!("    {}\n", crate::output::clean(difference)));
    }
    text
}

fn next(place: &Place, findings: &Findings) -> String {
    if !place.is_kept() {
        return "  Next: tidegate demo --dir ./demo    keeps the data, to look around in\n"
            .to_owned();
    }
    let dead = things(findings.letters.found, "dead letter");
    format!(
        "  The data is in {}. Next:\n    \
         cd {}\n    \
         tidegate drain dead list            the {dead}, each with its reason\n    \
         tidegate drain verify               the drain's own sum, shard by shard\n    \
         sqlite3 tidegate.sqlite .tables     the tables themselves\n",
        place.dir().display(),
        place.dir().display(),
    )
}
