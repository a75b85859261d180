//! Several workers' claims against a model of the store, in a random world: calls are carried
//! out late or after their failure was reported, answers get lost, owners linger, workers die.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::sample::Index;
use tidegate_store::{Epoch, Lease};
use tokio::time::Instant;

use super::event::Event;
use super::model_store::{Answer, Call, ModelStore, group, id, stream};
use super::{Claims, Step};
use crate::timing::Timing;

pub(crate) const TTL: Duration = Duration::from_secs(8);
pub(crate) const TIMING: Timing = Timing { lease_ttl: TTL };
pub(crate) const PARTITIONS: u32 = 7;
pub(crate) const WORKERS: usize = 3;

#[derive(Debug)]
struct Flight {
    call: Call,
    sent_at: Instant,
    answer: Option<Answer>,
}

impl Flight {
    fn new(call: Call, sent_at: Instant) -> Self {
        Self {
            call,
            sent_at,
            answer: None,
        }
    }
}

#[derive(Debug)]
struct Worker {
    claims: Claims,
    owners: BTreeMap<u32, Owner>,
    flights: Vec<Flight>,
    last_alive: Instant,
    settled: bool,
    dead: bool,
}

#[derive(Debug)]
struct Owner {
    lease: Lease,
    should_stop: bool,
    lost: bool,
}

#[derive(Debug)]
pub(crate) struct World {
    now: Instant,
    store: ModelStore,
    workers: Vec<Worker>,
    /// Calls that were reported as failed and may still take effect.
    ghosts: Vec<(usize, Call)>,
    /// The largest epoch that any owner was given, by partition.
    epochs_seen: BTreeMap<u32, Epoch>,
}

impl World {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let claims = |number| {
            let mut claims = Claims::new(stream(), group(), id(number), TIMING);
            if number == 0 {
                claims.become_static();
            }
            claims
        };
        let worker = |number| Worker {
            claims: claims(number),
            owners: BTreeMap::new(),
            flights: Vec::new(),
            last_alive: now,
            settled: false,
            dead: false,
        };
        Self {
            now,
            store: ModelStore::new(PARTITIONS, TTL),
            workers: (0..WORKERS).map(worker).collect(),
            ghosts: Vec::new(),
            epochs_seen: BTreeMap::new(),
        }
    }

    pub(crate) fn happen(&mut self, event: Event) {
        match event {
            Event::Pass { ms } => self.pass(Duration::from_millis(ms)),
            Event::Ask { worker, renew } => self.ask(worker, renew),
            Event::CarryOut { worker, flight } => {
                if let Some(flight) = self.pick(worker, flight) {
                    self.carry_out(worker, flight);
                }
            }
            Event::Deliver { worker, flight } => {
                if let Some(flight) = self.pick(worker, flight) {
                    self.deliver(worker, flight);
                }
            }
            Event::Fail { worker, flight } => {
                if let Some(flight) = self.pick(worker, flight) {
                    self.fail(worker, flight);
                }
            }
            Event::Haunt { ghost } => {
                if !self.ghosts.is_empty() {
                    let (worker, call) = self.ghosts.swap_remove(ghost.index(self.ghosts.len()));
                    self.execute(worker, &call);
                }
            }
            Event::HandBack { worker, index } => self.hand_back(worker, index),
            Event::Die { worker } => self.workers[worker].dead = true,
        }
        (0..WORKERS).for_each(|worker| self.obey(worker));
        self.check();
    }

    fn pass(&mut self, duration: Duration) {
        self.now += duration;
        for worker in self.workers.iter_mut().filter(|worker| !worker.dead) {
            worker.last_alive = self.now;
            worker.claims.expire(self.now);
        }
    }

    /// Starts a renewal or a survey, unless one is under way.
    fn ask(&mut self, worker: usize, renew: bool) {
        let worker = &mut self.workers[worker];
        let same = |flight: &Flight| match flight.call {
            Call::Renew(_) => renew,
            Call::Survey => !renew,
            Call::Acquire(..) | Call::Release(_) => false,
        };
        if !worker.dead && !worker.flights.iter().any(same) {
            let call = if renew {
                Call::Renew(worker.claims.held())
            } else {
                Call::Survey
            };
            worker.flights.push(Flight::new(call, self.now));
        }
    }

    fn pick(&self, worker: usize, flight: Index) -> Option<usize> {
        let flights = self.workers[worker].flights.len();
        (flights > 0).then(|| flight.index(flights))
    }

    fn carry_out(&mut self, worker: usize, flight: usize) {
        let Flight { call, answer, .. } = &self.workers[worker].flights[flight];
        if answer.is_none() {
            let answer = self.execute(worker, &call.clone());
            self.workers[worker].flights[flight].answer = Some(answer);
        }
    }

    fn deliver(&mut self, worker: usize, flight: usize) {
        let Worker {
            claims,
            flights,
            settled,
            dead,
            ..
        } = &mut self.workers[worker];
        if *dead || flights[flight].answer.is_none() {
            return;
        }
        let Flight {
            call,
            sent_at,
            answer,
        } = flights.remove(flight);
        match (call, answer.expect("it was carried out")) {
            (Call::Survey, Answer::View(view)) => *settled = claims.surveyed(view),
            (Call::Renew(leases), Answer::StillHeld(held)) => {
                claims.renewed(&leases, &held, sent_at);
            }
            (Call::Acquire(index, _), Answer::Lease(lease)) => {
                claims.acquired(index, lease, sent_at, self.now);
            }
            (Call::Release(lease), Answer::Done) => claims.released(lease.partition.index),
            (call, answer) => panic!("{call:?} was answered with {answer:?}"),
        }
        // The ownership's loop looks at the clock after each answer.
        claims.expire(self.now);
    }

    fn fail(&mut self, number: usize, flight: usize) {
        let worker = &mut self.workers[number];
        if worker.dead {
            return;
        }
        let failed = worker.flights.remove(flight);
        match &failed.call {
            Call::Survey | Call::Renew(_) => {}
            Call::Acquire(index, _) => {
                worker
                    .claims
                    .acquired(*index, None, failed.sent_at, self.now)
            }
            Call::Release(lease) => worker.claims.released(lease.partition.index),
        }
        if failed.answer.is_none() {
            self.ghosts.push((number, failed.call));
        }
    }

    fn hand_back(&mut self, worker: usize, index: u32) {
        let worker = &mut self.workers[worker];
        if let (Some(owner), false) = (worker.owners.remove(&index), worker.dead) {
            worker.claims.handed_back(index, owner.lease.epoch);
        }
    }

    fn execute(&mut self, worker: usize, call: &Call) -> Answer {
        let alive = |(number, worker): (usize, &Worker)| {
            (worker.last_alive + TTL > self.now).then_some(id(number))
        };
        let alive = self.workers.iter().enumerate().filter_map(alive).collect();
        self.store.execute(id(worker), call, alive, self.now)
    }

    /// Carries out what was reported as failed.
    pub(crate) fn end_the_haunting(&mut self) {
        for (worker, call) in std::mem::take(&mut self.ghosts) {
            self.execute(worker, &call);
        }
    }

    /// How many partitions each living worker holds.
    pub(crate) fn counts(&self) -> Vec<usize> {
        let living = self.workers.iter().filter(|worker| !worker.dead);
        living.map(|worker| worker.claims.held().len()).collect()
    }

    /// Whether the living workers see every partition where it belongs.
    pub(crate) fn is_settled(&self) -> bool {
        self.workers
            .iter()
            .all(|worker| worker.dead || worker.settled)
    }

    /// Does what a worker's claims ask for.
    fn obey(&mut self, worker: usize) {
        let worker = &mut self.workers[worker];
        for step in worker.claims.take_steps() {
            match step {
                Step::Acquire(index) => {
                    let call = Call::Acquire(index, Epoch(0));
                    worker.flights.push(Flight::new(call, self.now));
                }
                Step::TakeAgain(index, epoch) => {
                    let call = Call::Acquire(index, epoch);
                    worker.flights.push(Flight::new(call, self.now));
                }
                Step::Release(lease) => {
                    worker
                        .flights
                        .push(Flight::new(Call::Release(lease), self.now));
                }
                Step::HandOver(lease) => {
                    let index = lease.partition.index;
                    let before = self.epochs_seen.insert(index, lease.epoch);
                    assert!(before < Some(lease.epoch), "epochs grow with every owner");
                    let owner = Owner {
                        lease,
                        should_stop: false,
                        lost: false,
                    };
                    assert!(
                        worker.owners.insert(index, owner).is_none(),
                        "one owner at a time"
                    );
                }
                Step::RequestRelease(index) => {
                    worker
                        .owners
                        .get_mut(&index)
                        .expect("it has an owner")
                        .should_stop = true;
                }
                Step::Lose(lease) => {
                    let owner = worker.owners.get_mut(&lease.partition.index);
                    let owner = owner.expect("it has an owner");
                    assert_eq!(owner.lease, lease);
                    owner.lost = true;
                }
            }
        }
    }

    /// What an owner is not told to be lost, the store still holds for it.
    fn check(&self) {
        for worker in self.workers.iter().filter(|worker| !worker.dead) {
            for Owner { lease, .. } in worker.owners.values().filter(|owner| !owner.lost) {
                assert!(
                    self.store.holds(lease, self.now),
                    "the store holds {lease:?}"
                );
            }
        }
    }

    /// All calls succeed at once, and owners stop when they should.
    pub(crate) fn calm_round(&mut self) {
        self.pass(TIMING.survey_pause(false));
        for worker in 0..WORKERS {
            if self.workers[worker].dead {
                continue;
            }
            self.ask(worker, true);
            self.ask(worker, false);
            while !self.workers[worker].flights.is_empty() {
                self.carry_out(worker, 0);
                self.deliver(worker, 0);
                self.obey(worker);
            }
            for index in 0..PARTITIONS {
                let owner = self.workers[worker].owners.get(&index);
                if owner.is_some_and(|owner| owner.should_stop || owner.lost) {
                    self.hand_back(worker, index);
                }
            }
            self.obey(worker);
        }
        self.check();
    }
}
