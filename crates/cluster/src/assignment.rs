//! Which worker should own which partition: a pure function of what every worker can see.
//!
//! It stands between the survey of the store (who is alive, who holds what) and the claims (what
//! this worker does about it). There is no leader: each worker computes the whole assignment and
//! acts on its own part. It guarantees that each partition has exactly one live assignee, that
//! the workers' counts differ by one at most, and that no assignment with these two properties
//! takes fewer partitions from live holders. It keeps nothing, so a dying process loses nothing.

use std::collections::BTreeMap;
use std::iter::repeat_n;

use tidegate_store::WorkerId;

/// The target owner of each partition, in their order.
///
/// `workers` are the live ones, sorted and without duplicates; `holders` names the present holder
/// of each partition. A holder that is not among the workers is dead, and its partition is as
/// good as free. A partition held by another program has no holder here: somebody must be
/// waiting for it. With no workers there is no assignment, and the answer is empty.
///
/// # Examples
/// ```
/// use tidegate_cluster::assign;
/// use tidegate_store::WorkerId;
///
/// let (old, new) = (WorkerId::random(), WorkerId::random());
/// let mut workers = [old, new];
/// workers.sort();
/// // The old worker keeps its first two partitions, and the new one gets the others.
/// assert_eq!(assign(&workers, &[Some(old); 4]), [old, old, new, new]);
/// ```
#[must_use]
pub fn assign(workers: &[WorkerId], holders: &[Option<WorkerId>]) -> Vec<WorkerId> {
    let mut rooms = shares(workers, holders);
    let kept: Vec<Option<WorkerId>> = holders
        .iter()
        .map(|holder| {
            let holder = (*holder)?;
            let room = rooms.get_mut(&holder)?;
            *room = room.checked_sub(1)?;
            Some(holder)
        })
        .collect();
    // The shares add up to the number of partitions, so that the vacancies are exactly as many
    // as the partitions that nobody keeps.
    let mut vacancies = rooms
        .into_iter()
        .flat_map(|(worker, room)| repeat_n(worker, room));
    kept.into_iter()
        .map_while(|keeper| keeper.or_else(|| vacancies.next()))
        .collect()
}

/// How many partitions each worker should own. Where the partitions can't be divided evenly, the
/// workers that hold more than the even part already get the larger shares: each of them would
/// otherwise lose one more partition, and nobody else would.
fn shares(workers: &[WorkerId], holders: &[Option<WorkerId>]) -> BTreeMap<WorkerId, usize> {
    let Some(base) = holders.len().checked_div(workers.len()) else {
        return BTreeMap::new();
    };
    let larger = holders.len() % workers.len();
    let mut held: BTreeMap<WorkerId, usize> = workers.iter().map(|worker| (*worker, 0)).collect();
    for holder in holders.iter().flatten() {
        if let Some(count) = held.get_mut(holder) {
            *count += 1;
        }
    }
    let mut by_claim: Vec<(WorkerId, usize)> = held.into_iter().collect();
    by_claim.sort_by_key(|(_, held)| *held <= base);
    (0..)
        .zip(by_claim)
        .map(|(rank, (worker, _))| (worker, base + usize::from(rank < larger)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    const WORKERS_MAX: u128 = 9;
    const PARTITIONS_MAX: usize = 40;

    fn worker(number: u128) -> WorkerId {
        WorkerId::new(Uuid::from_u128(number))
    }

    fn workers(numbers: impl IntoIterator<Item = u128>) -> Vec<WorkerId> {
        numbers.into_iter().map(worker).collect()
    }

    fn count(owners: &[WorkerId], worker: WorkerId) -> usize {
        owners.iter().filter(|owner| **owner == worker).count()
    }

    fn some(owners: &[WorkerId]) -> Vec<Option<WorkerId>> {
        owners.iter().copied().map(Some).collect()
    }

    /// Partitions that a live worker holds and does not keep.
    fn moves(live: &[WorkerId], before: &[Option<WorkerId>], after: &[WorkerId]) -> usize {
        let taken = |(holder, target): (&Option<WorkerId>, &WorkerId)| {
            holder.is_some_and(|holder| live.contains(&holder) && holder != *target)
        };
        before.iter().zip(after).filter(|pair| taken(*pair)).count()
    }

    /// Each worker loses what it holds beyond its share, whoever gets the rest; choosing who gets
    /// the larger shares can save one move per worker that holds more than the even part.
    fn moves_min(live: &[WorkerId], before: &[Option<WorkerId>]) -> usize {
        let (base, larger) = (before.len() / live.len(), before.len() % live.len());
        let held = |worker| {
            before
                .iter()
                .filter(|holder| **holder == Some(worker))
                .count()
        };
        let excess: Vec<usize> = live.iter().map(|w| held(*w).saturating_sub(base)).collect();
        let saved = excess
            .iter()
            .filter(|excess| **excess > 0)
            .count()
            .min(larger);
        excess.iter().sum::<usize>() - saved
    }

    prop_compose! {
        /// Some live workers, and holders of which some are dead, foreign or nobody.
        fn any_view()(
            live in prop::collection::btree_set(0..WORKERS_MAX, 1..8),
            holders in prop::collection::vec(prop::option::of(0..WORKERS_MAX), 0..PARTITIONS_MAX),
        ) -> (Vec<WorkerId>, Vec<Option<WorkerId>>) {
            (workers(live), holders.into_iter().map(|holder| holder.map(worker)).collect())
        }
    }

    proptest! {
        #[test]
        fn each_partition_has_one_live_assignee((live, holders) in any_view()) {
            let targets = assign(&live, &holders);
            prop_assert_eq!(targets.len(), holders.len());
            prop_assert!(targets.iter().all(|target| live.contains(target)));
        }

        #[test]
        fn counts_are_even_within_one((live, holders) in any_view()) {
            let targets = assign(&live, &holders);
            let counts = live.iter().map(|worker| count(&targets, *worker));
            let (least, most) = (counts.clone().min(), counts.max());
            prop_assert!(most <= least.map(|least| least + 1));
        }

        #[test]
        fn no_even_assignment_moves_fewer((live, holders) in any_view()) {
            let targets = assign(&live, &holders);
            prop_assert_eq!(moves(&live, &holders, &targets), moves_min(&live, &holders));
        }

        #[test]
        fn assigning_again_changes_nothing((live, holders) in any_view()) {
            let targets = assign(&live, &holders);
            prop_assert_eq!(assign(&live, &some(&targets)), targets);
        }

        #[test]
        fn a_handover_under_way_does_not_change_the_targets(
            (live, holders) in any_view(),
            freed in prop::collection::vec(any::<bool>(), PARTITIONS_MAX),
        ) {
            let targets = assign(&live, &holders);
            // Of the partitions that move, some are with their new owner already.
            let halfway: Vec<_> = holders
                .iter()
                .zip(&targets)
                .zip(freed)
                .map(|((holder, target), moved)| if moved { Some(*target) } else { *holder })
                .collect();
            prop_assert!(moves(&live, &halfway, &assign(&live, &halfway))
                <= moves(&live, &holders, &targets));
        }

        #[test]
        fn a_join_moves_partitions_to_the_newcomer_only(
            (live, holders) in any_view(),
            newcomer in 0..WORKERS_MAX,
        ) {
            let newcomer = worker(newcomer);
            prop_assume!(!live.contains(&newcomer));
            let before = assign(&live, &holders);
            let mut joined = live;
            joined.push(newcomer);
            joined.sort();
            let after = assign(&joined, &some(&before));
            for (old, new) in before.iter().zip(&after) {
                prop_assert!(old == new || *new == newcomer);
            }
        }

        #[test]
        fn a_leave_moves_the_partitions_of_the_leaver_only(
            (live, holders) in any_view(),
            leaver in any::<prop::sample::Index>(),
        ) {
            prop_assume!(live.len() > 1);
            let before = assign(&live, &holders);
            let leaver = live[leaver.index(live.len())];
            let stayed: Vec<_> = live.into_iter().filter(|worker| *worker != leaver).collect();
            let after = assign(&stayed, &some(&before));
            for (old, new) in before.iter().zip(&after) {
                prop_assert!(old == new || *old == leaver);
            }
        }
    }

    #[test]
    fn without_workers_there_is_no_assignment() {
        assert!(assign(&[], &[None, Some(worker(1))]).is_empty());
    }
}
