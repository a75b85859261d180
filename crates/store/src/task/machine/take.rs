//! Taking.

use std::time::Duration;

use super::held::{Held, Span, take_number};
use super::map::{About, Key, Map, key};
use super::steps::{ready_key, ring_key};
use super::{Machine, corrupt, id_of};
use crate::Result;
use crate::lease::WorkerId;
use crate::task::attempt::{TAKE_TASKS_MAX, Take, Taken};
use crate::task::id::Fence;
use crate::task::limits::{Limits, Rate};
use crate::task::listing::State;
use crate::task::name::Label;
use crate::task::new_task::Priority;

/// How many due tasks are moved by one take.
const DUE_MAX: usize = 500;
/// How many limit keys whose rate allows more are looked at by one take.
const THROTTLED_MAX: usize = 64;
/// How many ready tasks beyond the room are looked at by one take.
const SCANNED_MAX: usize = 500;

/// A take while it is made.
struct Taking<'a> {
    limits: &'a Limits,
    taken: Vec<Held>,
    room: usize,
    scanned: usize,
}

impl<M: Map> Machine<'_, M> {
    /// See [`TaskStore::take`](crate::task::TaskStore::take). None where the worker is taken for
    /// dead. The limits were [checked](Limits::check).
    pub(crate) fn take(
        &mut self,
        worker: WorkerId,
        max: usize,
        limits: &Limits,
    ) -> Result<Option<Take>> {
        self.sweep()?;
        let ends_at_ms = self.number(&key(About::Worker).text(&worker.to_string()))?;
        if ends_at_ms <= self.now_ms {
            return Ok(None);
        }
        if self.is_there(&key(About::Paused))? {
            self.map.remove(&key(About::Wake))?;
            return Ok(Some(Take::default()));
        }
        let wanted = max.min(TAKE_TASKS_MAX);
        let mut has_more = self.move_due()?;
        has_more |= self.move_throttled(limits, wanted)?;

        let (mut room, mut is_starved, mut tokens) = (wanted, false, None);
        if let Some(running_max) = limits.running_max {
            let running = self.map.count(&key(About::Running))?;
            let free = u64::from(running_max).saturating_sub(running);
            let free = usize::try_from(free).unwrap_or(usize::MAX);
            is_starved = free < room;
            room = room.min(free);
        }
        if let Some(rate) = limits.rate {
            let there = self.tokens(&key(About::Rate), rate)?;
            room = room.min(whole(there));
            tokens = Some((there, rate));
        }
        let mut taking = Taking {
            limits,
            taken: Vec::new(),
            room,
            scanned: 0,
        };
        for priority in Priority::ALL {
            self.take_of(priority, &mut taking)?;
        }
        let count = taking.taken.len();
        let tasks = self.hand_out(worker, taking.taken)?;
        let mut next_at_ms = None;
        let left = tokens.map(|(there, rate)| (there - small(count), rate));
        if let Some((left, rate)) = left.filter(|_| count > 0) {
            self.keep_tokens(&key(About::Rate), left, rate)?;
        }
        let has_ready = !self.is_empty(&key(About::Ring))?;
        has_more |= has_ready;
        if room < wanted && count >= room {
            // A limit of the queue holds up what is left.
            has_more = false;
            if has_ready && is_starved {
                self.map.put(&key(About::Starved), b"")?;
            }
            if let Some((left, rate)) = left.filter(|(left, _)| has_ready && *left < 1.0) {
                next_at_ms = Some(self.now_ms + until_one(left, rate));
            }
        }
        for about in [About::Scheduled, About::ThrottledAt] {
            if let Some((at, _)) = self.map.scan(&key(about), 0, 1)?.pop() {
                let at_ms = super::number(&at)?;
                next_at_ms = Some(next_at_ms.unwrap_or(u64::MAX).min(at_ms));
            }
        }
        self.woken = has_more;
        if !has_more {
            self.map.remove(&key(About::Wake))?;
        }
        self.wake()?;
        let until = |at_ms: u64| Duration::from_millis(at_ms.saturating_sub(self.now_ms));
        Ok(Some(Take {
            tasks,
            has_more,
            next_in: next_at_ms.map(until),
        }))
    }

    fn move_due(&mut self) -> Result<bool> {
        let scheduled = key(About::Scheduled);
        let mut moved = 0;
        for (at, _) in self.map.scan(&scheduled, 0, DUE_MAX)? {
            if super::number(&at)? > self.now_ms {
                break;
            }
            self.map.remove(&scheduled.clone().key(&at))?;
            let mut held = self.must_hold(id_of(&at)?)?;
            let order = self.add("order", 1)?;
            self.push_ready(&mut held, order)?;
            moved += 1;
        }
        Ok(moved == DUE_MAX)
    }

    fn move_throttled(&mut self, limits: &Limits, room: usize) -> Result<bool> {
        let mut due = Vec::new();
        for (at, _) in self.map.scan(&key(About::ThrottledAt), 0, THROTTLED_MAX)? {
            let mut text = at.as_slice();
            if take_number(&mut text).ok_or_else(|| corrupt("a time"))? > self.now_ms {
                break;
            }
            let text = std::str::from_utf8(text).map_err(|_source| corrupt("a key"))?;
            due.push(Label::new(text.trim_end_matches('\0'))?);
        }
        for label in &due {
            self.throttle(label, None)?;
            let fit = match limits.rate_per_key {
                None => room,
                Some(rate) => {
                    let there = self.tokens(&rate_key(label), rate)?;
                    whole(there).min(room).max(1)
                }
            };
            self.unblock_limited(label, fit)?;
            if !self.is_empty(&key(About::Limited).text(label.as_str()))? {
                self.throttle(label, Some(self.now_ms))?;
            }
        }
        Ok(due.len() == THROTTLED_MAX)
    }

    /// Sets when the rate of a limit key allows one more.
    fn throttle(&mut self, label: &Label, at_ms: Option<u64>) -> Result<()> {
        let by_key = key(About::Throttled).text(label.as_str());
        let index = |at_ms| key(About::ThrottledAt).number(at_ms).text(label.as_str());
        if let Some(before) = self.map.get(&by_key)? {
            self.map.remove(&index(super::number(&before)?))?;
            self.map.remove(&by_key)?;
        }
        if let Some(at_ms) = at_ms {
            self.map.put(&by_key, &at_ms.to_be_bytes())?;
            self.map.put(&index(at_ms), b"")?;
        }
        Ok(())
    }

    fn take_of(&mut self, priority: Priority, taking: &mut Taking<'_>) -> Result<()> {
        let ring = ring_key(priority);
        let scanned_max = taking.room + SCANNED_MAX;
        loop {
            let tenants = usize::try_from(self.map.count(&ring)?).unwrap_or(usize::MAX);
            let missing = taking.room - taking.taken.len();
            if tenants == 0 || missing == 0 || taking.scanned >= scanned_max {
                return Ok(());
            }
            let share = missing.div_ceil(tenants);
            for _ in 0..tenants {
                let missing = taking.room - taking.taken.len();
                if missing > 0 {
                    self.serve(priority, share.min(missing), taking)?;
                }
            }
        }
    }

    /// Takes up to `share` tasks of the tenant that is first in the ring, which goes behind the
    /// others.
    fn serve(&mut self, priority: Priority, share: usize, taking: &mut Taking<'_>) -> Result<()> {
        let ring = ring_key(priority);
        let Some((number, tenant)) = self.map.scan(&ring, 0, 1)?.pop() else {
            return Ok(());
        };
        self.map.remove(&ring.key(&number))?;
        let tenant = String::from_utf8(tenant).map_err(|_source| corrupt("a tenant"))?;
        let ready = ready_key(priority, &tenant);
        let popped = self.map.scan(&ready, 0, share)?;
        for (at, _) in &popped {
            self.map.remove(&ready.clone().key(at))?;
        }
        if !self.is_empty(&ready)? {
            self.push_ring(priority, &tenant)?;
        }
        taking.scanned += popped.len();
        for (at, _) in popped {
            let held = self.must_hold(id_of(&at)?)?;
            if self.passes(&held, taking.limits)? {
                taking.taken.push(held);
            }
        }
        Ok(())
    }

    /// Whether the limits of its key let a task begin; it is put aside if they don't.
    fn passes(&mut self, held: &Held, limits: &Limits) -> Result<bool> {
        let Some(label) = &held.limit_key else {
            return Ok(true);
        };
        let running_key = key(About::Limits).text(label.as_str());
        let running = self.number(&running_key)?;
        let running_max = limits.running_per_key_max.map_or(u64::MAX, u64::from);
        let mut is_held_up = running >= running_max;
        let mut at_ms = None;
        if let Some(rate) = limits.rate_per_key.filter(|_| !is_held_up) {
            let tokens = self.tokens(&rate_key(label), rate)?;
            if tokens >= 1.0 {
                self.keep_tokens(&rate_key(label), tokens - 1.0, rate)?;
            } else {
                is_held_up = true;
                at_ms = Some(self.now_ms + until_one(tokens, rate));
            }
        }
        if !is_held_up {
            self.map.put(&running_key, &(running + 1).to_be_bytes())?;
            return Ok(true);
        }
        let limited = key(About::Limited).text(label.as_str());
        self.map.put(&limited.number(held.order).id(held.id), b"")?;
        self.map.put(&key(About::Blocked).id(held.id), b"")?;
        // Without a time, the end of one that runs lets it through.
        self.throttle(label, at_ms)?;
        self.keep(&Held {
            state: State::Blocked,
            is_limited: true,
            ..held.clone()
        })?;
        Ok(false)
    }

    fn hand_out(&mut self, worker: WorkerId, taken: Vec<Held>) -> Result<Vec<Taken>> {
        let clock = self.now_ms.saturating_mul(1_000);
        let mut fence = self.counter("fence")?.max(clock);
        let mut tasks = Vec::with_capacity(taken.len());
        for mut held in taken {
            fence += 1;
            if let Some((Span::WhileQueued, _)) = held.unique {
                self.free_unique(&held)?;
            }
            held.state = State::Running;
            held.at_ms = self.now_ms;
            held.holder = Some((worker, Fence(fence)));
            self.map.put(&key(About::Running).id(held.id), b"")?;
            self.keep(&held)?;
            let (options, payload) = self.body(held.id)?;
            tasks.push(Taken {
                id: held.id,
                name: held.name,
                payload,
                options,
                attempt: held.attempts + 1,
                lost: held.lost,
                fence: Fence(fence),
                priority: held.priority,
                ordering_key: held.ordering_key,
                limit_key: held.limit_key,
                tenant: held.tenant,
                on_lost: held.on_lost,
                enqueued_at_ms: held.enqueued_at_ms,
                taken_at_ms: self.now_ms,
            });
        }
        let last = key(About::Counter).text("fence");
        self.map.put(&last, &fence.to_be_bytes())?;
        Ok(tasks)
    }

    /// How many tokens there are now.
    fn tokens(&self, at: &Key, rate: Rate) -> Result<f64> {
        let Some(value) = self.map.get(at)? else {
            return Ok(f64::from(rate.burst));
        };
        let mut rest = value.as_slice();
        let both = take_number(&mut rest).zip(take_number(&mut rest));
        let (tokens, counted_at_ms) = both.ok_or_else(|| corrupt("tokens"))?;
        let passed_ms = self.now_ms.saturating_sub(counted_at_ms);
        let gained = Duration::from_millis(passed_ms).as_secs_f64() * 1_000.0 * per_ms(rate);
        Ok((f64::from_bits(tokens) + gained).min(f64::from(rate.burst)))
    }

    fn keep_tokens(&mut self, at: &Key, tokens: f64, rate: Rate) -> Result<()> {
        let value = [tokens.to_bits().to_be_bytes(), self.now_ms.to_be_bytes()].concat();
        // When it is full again it needs not be kept; there are as many as keys of limits.
        if tokens >= f64::from(rate.burst) {
            return self.map.remove(at).map(drop);
        }
        self.map.put(at, &value)
    }
}

fn rate_key(label: &Label) -> Key {
    key(About::Rate).text(label.as_str())
}

fn per_ms(rate: Rate) -> f64 {
    f64::from(rate.count) / (rate.per.as_secs_f64() * 1_000.0)
}

/// Milliseconds until there is a whole token.
fn until_one(tokens: f64, rate: Rate) -> u64 {
    let ms = ((1.0 - tokens) / per_ms(rate)).max(0.0);
    let time = Duration::try_from_secs_f64(ms / 1_000.0).unwrap_or(Duration::MAX);
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX / 2)
}

/// How many whole tokens there are: no more than a take gives.
fn whole(tokens: f64) -> usize {
    (1..=TAKE_TASKS_MAX)
        .rev()
        .find(|it| small(*it) <= tokens)
        .unwrap_or(0)
}

/// A count of tasks of one take.
fn small(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
