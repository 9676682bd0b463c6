//! The kernel's connections in every network namespace that can be entered. Enters each for one dump and
//! keeps none open: a descriptor or socket would keep a dead container's namespace alive.

use std::collections::HashMap;
use std::fmt;

use netlink::DumpEnd;
use netlink::netns;
use netlink::netns::Error;
use netlink::netns::Place;
use shared::record::wire::Record;

use super::deadline::Deadline;
use super::dump::Dumper;
use super::scope::Scope;

/// Our own namespace, and the places where the others were last.
pub struct Namespaces {
    own: Dumper,
    scope: Scope,
    others: HashMap<u32, Place>,
    malformed: u64,
}

/// What one dump came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dump {
    /// Every entry was given.
    Whole,
    /// The table changed meanwhile, and entries may be missing.
    Interrupted,
    /// There is no such namespace any more.
    Gone,
    /// The namespace may exist, but this process cannot enter it.
    Closed,
}

/// Namespaces that could not be entered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unentered {
    refused: usize,
    why: Option<String>,
    /// Processes whose namespace is not even known.
    hidden: usize,
}

impl Namespaces {
    /// Opens a socket in the calling thread's namespace, which is that of the scope.
    ///
    /// # Errors
    /// If the kernel has no such family.
    pub fn open(scope: Scope) -> Result<Self, netlink::Error> {
        Ok(Self {
            own: Dumper::open(scope)?,
            scope,
            others: HashMap::new(),
            malformed: 0,
        })
    }

    /// Entries that could not be parsed.
    pub fn malformed(&self) -> u64 {
        self.own.malformed + self.malformed
    }

    /// From now on dumps end in an error at this time.
    pub fn set_deadline(&mut self, deadline: Deadline) {
        self.own.deadline = deadline;
    }

    /// Dumps our own namespace.
    ///
    /// # Errors
    /// If the kernel refuses, the exchange fails, or the deadline is over.
    pub fn dump_own(&mut self, each: impl FnMut(Record)) -> anyhow::Result<Dump> {
        let dumped = self.own.dump(each);
        if dumped.is_err() && self.own.deadline.is_over() {
            self.own.reopen()?;
        }
        dumped.map(Dump::from)
    }

    /// Dumps our own namespace, then every other one that there is now. Calls `end` after each, and
    /// returns those that could not be entered.
    ///
    /// # Errors
    /// If our own cannot be dumped, or the deadline is over.
    pub fn dump_all(
        &mut self,
        mut each: impl FnMut(Record),
        mut end: impl FnMut(Dump),
    ) -> anyhow::Result<Unentered> {
        end(self.dump_own(&mut each)?);
        let survey = netns::survey();
        let mut unentered = Unentered::hidden(survey.hidden);
        self.others = survey
            .places
            .into_iter()
            .filter(|place| place.inum() != self.scope.netns_ino)
            .map(|place| (place.inum(), place))
            .collect();
        let places: Vec<Place> = self.others.values().cloned().collect();
        for place in places {
            self.own.deadline.check()?;
            match self.enter(&place, &mut each) {
                Ok(Dump::Gone) => {}
                Ok(dumped) => end(dumped),
                Err(why) => {
                    self.own.deadline.check()?;
                    unentered.add(&why);
                }
            }
        }
        Ok(unentered)
    }

    /// Dumps some namespaces, wherever they are now. Calls `end` after each.
    ///
    /// # Errors
    /// If our own cannot be dumped, or the deadline is over.
    pub fn dump_some(
        &mut self,
        all: impl IntoIterator<Item = u32>,
        mut each: impl FnMut(Record),
        mut end: impl FnMut(u32, Dump),
    ) -> anyhow::Result<()> {
        // Where a process has ended or a name is gone, its namespace may be elsewhere.
        let mut moved = Vec::new();
        for netns_ino in all {
            self.own.deadline.check()?;
            if netns_ino == self.scope.netns_ino {
                end(netns_ino, self.dump_own(&mut each)?);
                continue;
            }
            match self.others.get(&netns_ino).cloned() {
                Some(place) => match self.enter(&place, &mut each) {
                    Ok(Dump::Gone) => moved.push(netns_ino),
                    dumped => end(netns_ino, closed(dumped)),
                },
                None => moved.push(netns_ino),
            }
        }
        if moved.is_empty() {
            return self.own.deadline.check();
        }
        let survey = netns::full_survey();
        for netns_ino in moved {
            self.own.deadline.check()?;
            let mut places = survey.places.iter();
            let dumped = match places.find(|place| place.inum() == netns_ino) {
                Some(place) => {
                    self.others.insert(netns_ino, place.clone());
                    closed(self.enter(place, &mut each))
                }
                None if survey.hidden > 0 => Dump::Closed,
                None => {
                    self.others.remove(&netns_ino);
                    Dump::Gone
                }
            };
            end(netns_ino, dumped);
        }
        self.own.deadline.check()
    }

    /// Fails with the reason, in words, why it could not be entered.
    fn enter(&mut self, place: &Place, each: impl FnMut(Record)) -> Result<Dump, String> {
        let namespace = match place.open() {
            Ok(namespace) => namespace,
            Err(Error::NotFound { .. }) => return Ok(Dump::Gone),
            Err(error) => return Err(error.to_string()),
        };
        let opened = Dumper::within(&namespace, self.scope);
        let mut dumper = opened.map_err(|error| error.to_string())?;
        dumper.deadline = self.own.deadline;
        let dumped = dumper.dump(each);
        self.malformed += dumper.malformed;
        dumped.map(Dump::from).map_err(|error| format!("{error:#}"))
    }
}

fn closed(dumped: Result<Dump, String>) -> Dump {
    dumped.unwrap_or_else(|why| {
        log::debug!("{why}");
        Dump::Closed
    })
}

impl From<DumpEnd> for Dump {
    fn from(end: DumpEnd) -> Self {
        match end {
            DumpEnd::Consistent => Self::Whole,
            DumpEnd::Interrupted => Self::Interrupted,
        }
    }
}

impl Unentered {
    fn hidden(hidden: usize) -> Self {
        Self {
            hidden,
            ..Self::default()
        }
    }

    fn add(&mut self, why: &str) {
        self.refused += 1;
        self.why.get_or_insert_with(|| why.to_owned());
    }

    /// Were all entered?
    pub fn is_none(&self) -> bool {
        self.refused == 0 && self.hidden == 0
    }
}

/// `3 network namespaces could not be entered (setns(CLONE_NEWNET): EPERM)`.
impl fmt::Display for Unentered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            refused,
            why,
            hidden,
        } = self;
        if let Some(why) = why {
            let plural = if *refused == 1 { "" } else { "s" };
            write!(
                f,
                "{refused} network namespace{plural} could not be entered ({why})"
            )?;
        }
        if *hidden > 0 {
            let comma = if *refused > 0 { ", " } else { "" };
            match hidden {
                1 => write!(f, "{comma}the namespace of 1 process may not be looked at")?,
                _ => write!(
                    f,
                    "{comma}the namespaces of {hidden} processes may not be looked at"
                )?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_could_not_be_entered_are_counted_with_the_first_reason() {
        let mut unentered = Unentered::default();
        assert!(unentered.is_none());
        unentered.add("EPERM");
        let text = "1 network namespace could not be entered (EPERM)";
        assert_eq!(unentered.to_string(), text);
        unentered.add("EMFILE");
        let text = "2 network namespaces could not be entered (EPERM)";
        assert_eq!(unentered.to_string(), text);
        unentered.hidden = 7;
        let more = format!("{text}, the namespaces of 7 processes may not be looked at");
        assert_eq!(unentered.to_string(), more);
        let text_of_one = Unentered::hidden(1).to_string();
        assert_eq!(
            text_of_one,
            "the namespace of 1 process may not be looked at"
        );
        let hidden = Unentered::hidden(7);
        assert_eq!(hidden.to_string(), more[text.len() + 2..]);
        assert!(!hidden.is_none() && Unentered::hidden(0).is_none());
    }
}
