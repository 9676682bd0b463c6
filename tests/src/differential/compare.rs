//! Compares what the kernel did, by conntrack-tools and the generator, with what we report. Pure.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::difference::Difference;
use super::difference::Fault;
use super::event::Event;
use super::event::Key;
use super::lives::Life;
use super::lives::lives;
use super::said::Known;
use super::said::Said;
use super::visible::Sees;
use super::visible::Source;

/// A flow, and how much of it a source sees.
#[derive(Debug, Clone)]
pub struct Flow {
    /// Its kind's name.
    pub kind: &'static str,
    /// How much the source sees of this kind.
    pub sees: Sees,
    /// The kernel sends the end before it notes the reply that caused it, so a status read later has the reply.
    pub is_ended_by_reply: bool,
    /// What the generator knows of it.
    pub said: Vec<Said>,
}

/// What came of a comparison.
#[derive(Debug, Default)]
pub struct Verdict {
    /// All that is wrong.
    pub differences: Vec<Difference>,
    /// Connections that the kernel had.
    pub connections: usize,
    /// Ends without a status or without a mark, where that is allowed.
    pub unknown_ends: usize,
    /// Connections that the source did not see, within its limits.
    pub unseen: HashMap<&'static str, usize>,
}

/// Compares. `owner` finds the flow of a key that no flow has told of.
#[must_use]
pub fn compare(
    source: Source,
    flows: &[Flow],
    oracle: &[Event],
    ours: &[Event],
    owner: impl Fn(&Key) -> Option<usize>,
) -> Verdict {
    let (mut truth, mut told) = (lives(oracle), lives(ours));
    let mut verdict = Verdict::default();
    verdict.check_ids(&told, flows, &owner);
    for (number, flow) in flows.iter().enumerate() {
        for said in &flow.said {
            let case = Case {
                source,
                number,
                flow,
                said,
                truth: truth.remove(&said.key).unwrap_or_default(),
                told: told.remove(&said.key).unwrap_or_default(),
            };
            verdict.connections += case.truth.len();
            case.check_oracle(&mut verdict);
            case.check_told(&mut verdict);
        }
    }
    for (fault, rest) in [(Fault::Oracle, truth), (Fault::Invented, told)] {
        for (key, lives) in rest {
            let flow = owner(&key).filter(|flow| *flow < flows.len());
            verdict.differences.push(Difference {
                fault,
                flow,
                kind: flow.map_or("", |flow| flows[flow].kind),
                detail: format!("{key}: no flow has made it: {}", account(&lives)),
            });
        }
    }
    verdict
}

impl Verdict {
    fn check_ids(
        &mut self,
        told: &HashMap<Key, Vec<Life>>,
        flows: &[Flow],
        owner: impl Fn(&Key) -> Option<usize>,
    ) {
        let mut seen: HashMap<u64, Key> = HashMap::new();
        for (key, lives) in told {
            for life in lives {
                let Some(other) = seen.insert(life.id, *key) else {
                    continue;
                };
                let flow = owner(key).filter(|flow| *flow < flows.len());
                self.differences.push(Difference {
                    fault: Fault::Id,
                    flow,
                    kind: flow.map_or("", |flow| flows[flow].kind),
                    detail: format!("id {} is of {other} and of {key}", life.id),
                });
            }
        }
    }
}

/// One original tuple: three accounts of it.
struct Case<'a> {
    source: Source,
    number: usize,
    flow: &'a Flow,
    said: &'a Said,
    truth: Vec<Life>,
    told: Vec<Life>,
}

impl Case<'_> {
    fn report(&self, verdict: &mut Verdict, fault: Fault, what: &str) {
        let detail = format!(
            "{}: {what}; the kernel: {}; we: {}",
            self.said.key,
            account(&self.truth),
            account(&self.told)
        );
        verdict.differences.push(Difference {
            fault,
            flow: Some(self.number),
            kind: self.flow.kind,
            detail,
        });
    }

    /// Both oracles must agree.
    fn check_oracle(&self, verdict: &mut Verdict) {
        let known = &self.said.lives;
        if known.len() != self.truth.len() {
            let what = format!("{} connections by the generator", known.len());
            return self.report(verdict, Fault::Oracle, &what);
        }
        let mut truth: Vec<&Life> = self.truth.iter().collect();
        for (number, known) in known.iter().enumerate() {
            let fits = |life: &&Life| is_as_known(known, life);
            let place = match self.said.is_at_once {
                true => truth.iter().position(fits),
                false => truth.first().filter(|life| fits(life)).map(|_| 0),
            };
            let Some(place) = place else {
                let what = format!("not as the generator knows of number {number}: {known:?}");
                return self.report(verdict, Fault::Oracle, &what);
            };
            truth.remove(place);
        }
    }

    fn check_told(&self, verdict: &mut Verdict) {
        let (pairs, mut told, mut truth) = self.align();
        for (ours, kernels) in pairs {
            self.check_pair(verdict, ours, kernels);
        }
        // Whatever is left on both sides is the same connection, told wrongly.
        while let (Some(ours), Some(kernels)) = (told.first(), truth.first()) {
            let is_elsewhere = self.truth.iter().any(|life| life.reply == ours.reply)
                && self.told.iter().any(|life| life.reply == kernels.reply);
            let (fault, what) = match is_elsewhere {
                true => (Fault::Reordered, "another order"),
                false => (Fault::Translation, "another translation"),
            };
            self.report(verdict, fault, what);
            told.remove(0);
            truth.remove(0);
        }
        for ours in told {
            let is_known = self.truth.iter().any(|life| life.reply == ours.reply);
            let (fault, what) = match is_known {
                true => (Fault::Doubled, "told once more than it happened"),
                false => (Fault::Invented, "it never was"),
            };
            self.report(verdict, fault, what);
        }
        for kernels in truth {
            if self.may_miss(kernels) {
                *verdict.unseen.entry(self.flow.kind).or_default() += 1;
            } else if self.told.is_empty() {
                self.report(verdict, Fault::Missed, "not told");
            } else {
                self.report(verdict, Fault::Merged, "fewer than happened");
            }
        }
        self.check_order(verdict);
    }

    /// The longest common sequence of both accounts, and what is left of each.
    fn align(&self) -> (Vec<(&Life, &Life)>, Vec<&Life>, Vec<&Life>) {
        let (mut told, mut truth): (Vec<&Life>, Vec<&Life>) =
            (self.told.iter().collect(), self.truth.iter().collect());
        if self.said.is_at_once {
            told.sort_by_key(|life| life.reply);
            truth.sort_by_key(|life| life.reply);
        }
        let mut longest = vec![vec![0_usize; truth.len() + 1]; told.len() + 1];
        for ours in (0..told.len()).rev() {
            for kernels in (0..truth.len()).rev() {
                longest[ours][kernels] = match told[ours].reply == truth[kernels].reply {
                    true => longest[ours + 1][kernels + 1] + 1,
                    false => longest[ours + 1][kernels].max(longest[ours][kernels + 1]),
                };
            }
        }
        let (mut pairs, mut extra, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        let (mut ours, mut kernels) = (0, 0);
        while ours < told.len() && kernels < truth.len() {
            if told[ours].reply == truth[kernels].reply {
                pairs.push((told[ours], truth[kernels]));
                ours += 1;
                kernels += 1;
            } else if longest[ours + 1][kernels] >= longest[ours][kernels + 1] {
                extra.push(told[ours]);
                ours += 1;
            } else {
                missing.push(truth[kernels]);
                kernels += 1;
            }
        }
        extra.extend(&told[ours..]);
        missing.extend(&truth[kernels..]);
        (pairs, extra, missing)
    }

    fn may_miss(&self, missed: &Life) -> bool {
        match self.flow.sees {
            Sees::All | Sees::Ends => false,
            Sees::Some => true,
            // The one that it was merged with has the same translation.
            Sees::Merged => self.told.iter().any(|life| life.reply == missed.reply),
        }
    }

    fn check_pair(&self, verdict: &mut Verdict, ours: &Life, kernels: &Life) {
        let no_event = self.flow.sees == Sees::Ends && kernels.new.is_none();
        match &ours.new {
            None if no_event => {}
            None => self.report(verdict, Fault::Beginning, "an end without its beginning"),
            Some((_, new)) if new.confirmed != Some(true) => {
                self.report(verdict, Fault::Unconfirmed, "not told as confirmed");
            }
            Some(_) => {}
        }
        let nat = Some(self.said.key.orig.translated(kernels.reply));
        for (_, event) in ours.new.iter().chain(&ours.destroy) {
            if event.nat != nat {
                self.report(
                    verdict,
                    Fault::Nat,
                    &format!("{:?}, not {nat:?}", event.nat),
                );
            }
            if event.reply != kernels.reply {
                self.report(verdict, Fault::Translation, "another reply at the end");
            }
        }
        match (&ours.destroy, &kernels.destroy) {
            (Some((_, ours)), Some((_, kernels))) => self.check_end(verdict, ours, kernels),
            (None, Some(_)) => self.report(verdict, Fault::End, "a beginning without its end"),
            (_, None) => self.report(verdict, Fault::Oracle, "conntrack-tools saw no end"),
        }
    }

    fn check_end(&self, verdict: &mut Verdict, ours: &Event, kernels: &Event) {
        let may_lack = self.source == Source::Tracepoint;
        let mut is_unknown = false;
        for (name, ours, kernels) in [
            ("seen_reply", ours.replied, kernels.replied),
            ("assured", ours.assured, kernels.assured),
        ] {
            let is_later =
                name == "seen_reply" && self.flow.is_ended_by_reply && ours == Some(true);
            if ours.is_none() && may_lack {
                is_unknown = true;
            } else if ours != kernels && !is_later {
                let what = format!("{name} at the end {ours:?}, not {kernels:?}");
                self.report(verdict, Fault::Status, &what);
            }
        }
        // ctnetlink leaves a mark of zero out.
        let is_left_out = self.source == Source::Netlink && kernels.mark == Some(0);
        if ours.mark.is_none() && (may_lack || is_left_out) {
            is_unknown |= may_lack;
        } else if ours.mark != kernels.mark {
            let what = format!("mark at the end {:?}, not {:?}", ours.mark, kernels.mark);
            self.report(verdict, Fault::Mark, &what);
        }
        verdict.unknown_ends += usize::from(is_unknown);
    }

    /// Each ends before the next begins.
    fn check_order(&self, verdict: &mut Verdict) {
        if self.said.is_at_once {
            return;
        }
        for pair in self.told.windows(2) {
            let ended = pair[0].destroy.as_ref().map(|(place, _)| *place);
            if ended.is_some_and(|ended| ended > pair[1].place()) {
                self.report(
                    verdict,
                    Fault::Reordered,
                    "one begins before the other ends",
                );
            }
        }
    }
}

fn is_as_known(known: &Known, life: &Life) -> bool {
    let end = life.destroy.as_ref().map(|(_, event)| event);
    let agrees = |known: Option<u64>, seen: Option<u64>| known.is_none() || known == seen;
    known.reply.is_none_or(|reply| reply == life.reply)
        && agrees(
            known.replied.map(u64::from),
            end.and_then(|end| end.replied).map(u64::from),
        )
        && agrees(
            known.mark.map(u64::from),
            end.and_then(|end| end.mark).map(u64::from),
        )
}

/// The connections of a tuple in one line.
fn account(lives: &[Life]) -> String {
    let mut text = String::new();
    for life in lives {
        let sides = [("new", &life.new), ("destroy", &life.destroy)];
        let places = sides.iter().filter_map(|(name, side)| {
            let (place, event) = side.as_ref()?;
            let status = [(event.replied, "replied"), (event.assured, "assured")]
                .iter()
                .filter(|(is, _)| *is == Some(true))
                .fold(String::new(), |text, (_, name)| format!("{text},{name}"));
            let mark = event
                .mark
                .map_or_else(|| "?".to_owned(), |mark| mark.to_string());
            Some(format!("{name}@{place}{status},mark {mark}"))
        });
        let places: Vec<String> = places.collect();
        let _ = write!(
            text,
            "[id {} reply {} {}]",
            life.id,
            life.reply,
            places.join(" ")
        );
    }
    if text.is_empty() {
        text.push_str("nothing");
    }
    text
}
