//! `tidegate drain verify`: the proof that nothing is lost and nothing counted twice.

use std::process::ExitCode;

use serde_json::{Value, json};
use tidegate_drain::status::{Proof, verify};

use crate::config::Settings;
use crate::output::{self, count};
use crate::table::{Column, Table};
use crate::{connect, failure};

/// Takes the sum of every shard and prints it; the exit code says whether all of them hold.
///
/// # Errors
/// Those of the store and the sink.
pub(crate) async fn run(json: bool, settings: &Settings) -> miette::Result<ExitCode> {
    let store = connect::store(settings).await?;
    let sink = connect::prepared_sink(settings).await?;
    let proofs = verify(&store, &*sink, &settings.drain)
        .await
        .map_err(failure::drain)?;
    let sums: Vec<Sum> = proofs.iter().map(Sum::of).collect();
    let total = sums
        .iter()
        .fold(Sum::default(), |total, sum| total.plus(sum));
    let is_proved = sums.iter().all(Sum::holds);
    if json {
        output::print_json(&json!({
            "proved": is_proved,
            "totals": total.to_json(),
            "shards": sums.iter().map(Sum::to_json).collect::<Vec<_>>(),
        }))?;
    } else {
        output::print(&text(&sums, &total))?;
    }
    Ok(if is_proved {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn text(sums: &[Sum], total: &Sum) -> String {
    let mut table = Table::new([
        Column::Number("shard"),
        Column::Number("sent"),
        Column::Number("earlier"),
        Column::Number("applied"),
        Column::Number("dead"),
        Column::Number("waiting"),
        Column::Number("parked"),
        Column::Number("discarded"),
        Column::Number("pending"),
        Column::Text("sum"),
    ]);
    for sum in sums.iter().filter(|sum| {
        **sum
            != Sum {
                shard: sum.shard,
                ..Sum::default()
            }
    }) {
        let verdict = if sum.holds() { "holds" } else { "WRONG" };
        let numbers = [sum.sent]
            .into_iter()
            .chain(sum.parts().map(|(_, number)| number));
        let cells = [sum.shard.to_string()]
            .into_iter()
            .chain(numbers.map(count));
        table.row(cells.chain([verdict.to_owned()]));
    }
    let mut text = if total.sent == 0 {
        String::new()
    } else {
        table.render()
    };
    if sums.iter().all(Sum::holds) {
        text.push_str(&format!("proved: {}\n", total.equation()));
        return text;
    }
    for sum in sums.iter().filter(|sum| !sum.holds()) {
        let difference = sum.sent.abs_diff(sum.accounted());
        let verdict = if sum.sent > sum.accounted() {
            "unaccounted for"
        } else {
            "too many"
        };
        text.push_str(&format!(
            "NOT proved: shard {}: {}: {} {verdict}\n",
            sum.shard,
            sum.equation().replace(" = ", " is not "),
            count(difference),
        ));
    }
    text
}

/// Both sides of a sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sum {
    shard: u32,
    sent: u64,
    earlier: u64,
    applied: u64,
    dead: u64,
    waiting: u64,
    parked: u64,
    discarded: u64,
    pending: u64,
}

impl Sum {
    fn of(proof: &Proof) -> Self {
        let ledger = &proof.status.ledger;
        Self {
            shard: proof.status.shard,
            sent: proof.status.lag.appended,
            earlier: ledger.preceding,
            applied: ledger.applied,
            dead: ledger.dead,
            waiting: ledger.waiting,
            parked: ledger.parked,
            discarded: ledger.discarded,
            pending: proof.pending,
        }
    }

    fn plus(&self, other: &Self) -> Self {
        Self {
            shard: 0,
            sent: self.sent + other.sent,
            earlier: self.earlier + other.earlier,
            applied: self.applied + other.applied,
            dead: self.dead + other.dead,
            waiting: self.waiting + other.waiting,
            parked: self.parked + other.parked,
            discarded: self.discarded + other.discarded,
            pending: self.pending + other.pending,
        }
    }

    fn parts(&self) -> [(&'static str, u64); 7] {
        [
            ("earlier", self.earlier),
            ("applied", self.applied),
            ("dead", self.dead),
            ("waiting", self.waiting),
            ("parked", self.parked),
            ("discarded", self.discarded),
            ("pending", self.pending),
        ]
    }

    fn accounted(&self) -> u64 {
        self.parts().iter().map(|(_, number)| number).sum()
    }

    fn holds(&self) -> bool {
        self.sent == self.accounted()
    }

    /// The sum in words, without what is nothing.
    fn equation(&self) -> String {
        let is_shown = |(name, number): &(&str, u64)| *number > 0 || *name == "applied";
        let parts: Vec<String> = self
            .parts()
            .into_iter()
            .filter(is_shown)
            .map(|(name, number)| format!("{name} {}", count(number)))
            .collect();
        format!("sent {} = {}", count(self.sent), parts.join(" + "))
    }

    fn to_json(&self) -> Value {
        let mut object = serde_json::Map::new();
        object.insert("shard".to_owned(), self.shard.into());
        object.insert("sent".to_owned(), self.sent.into());
        object.extend(
            self.parts()
                .map(|(name, number)| (name.to_owned(), number.into())),
        );
        object.insert("holds".to_owned(), self.holds().into());
        Value::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum() -> Sum {
        Sum {
            shard: 3,
            sent: 1_234,
            applied: 1_200,
            dead: 30,
            pending: 4,
            ..Sum::default()
        }
    }

    #[test]
    fn a_sum_that_holds_is_proved() {
        let text = text(&[sum()], &sum());
        assert!(text.ends_with("proved: sent 1,234 = applied 1,200 + dead 30 + pending 4\n"));
    }

    #[test]
    fn a_sum_that_does_not_hold_names_its_shard_and_the_difference() {
        let lost = Sum {
            applied: 1_198,
            ..sum()
        };
        let text = text(std::slice::from_ref(&lost), &lost);
        assert!(
            text.contains("NOT proved: shard 3: sent 1,234 is not applied 1,198"),
            "{text}"
        );
        assert!(text.ends_with(": 2 unaccounted for\n"), "{text}");
    }
}
