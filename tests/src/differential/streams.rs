//! The two streams of a run while it runs: `conntrack -E` of conntrack-tools, and our records. Marks in both show that
//! each has said all that came before.

use std::net::SocketAddr;
use std::net::UdpSocket;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::bail;
use harness::PATIENCE;
use harness::Running;
use harness::in_namespace;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::event::Event;
use super::ours;
use super::tools;
use super::visible::Source;
use super::world::Space;
use super::world::TOOLS;
use super::world::World;
use crate::watch::Ended;
use crate::watch::Watch;

/// Marks go there from the router: nobody has the address, nobody answers.
const MARK: &str = "10.84.255.254:9";
/// Above the ports of every other socket.
const FIRST_MARK: u16 = 65_100;

/// Both streams.
pub struct Streams {
    oracle: Running,
    watch: Watch,
    lines: Vec<String>,
    netns: u32,
    next_mark: u16,
}

/// What both have said.
pub struct Said {
    /// By conntrack-tools.
    pub oracle: Vec<Event>,
    /// By us.
    pub ours: Vec<Event>,
    /// Our records of the world's other namespaces.
    pub elsewhere: Vec<Value>,
    /// Our records of losses.
    pub losses: Vec<Value>,
    /// The last line of our standard error.
    pub summary: String,
}

impl Streams {
    /// Starts both and waits until both report.
    pub fn start(world: &World, source: Source) -> anyhow::Result<Self> {
        let router = world.name(Space::Router);
        let watch = Watch::start(Some(&router), &["--source", source.name()]);
        let mut command = in_namespace(&router, TOOLS);
        let command = command
            .args([
                "-E",
                "-e",
                "NEW,DESTROY",
                "-o",
                "id,extended",
                "-b",
                "67108864",
            ])
            .stdin(Stdio::null());
        let mut streams = Self {
            oracle: Running::start(command),
            watch,
            lines: Vec::new(),
            netns: world.inode(Space::Router),
            next_mark: FIRST_MARK,
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let port = streams.send_mark(world)?;
            if streams.hears(port, "[NEW]", Duration::from_millis(200)) {
                break;
            }
            if Instant::now() > deadline {
                bail!("conntrack -E does not report: {}", streams.oracle.said());
            }
        }
        Ok(streams)
    }

    /// Waits until both have said everything, and ends both. None if conntrack-tools lost events.
    pub fn end(mut self, world: &World) -> anyhow::Result<Option<Said>> {
        // After the second, a sweep has begun and ended since all that was before the first.
        for _ in 0..2 {
            let port = self.send_mark(world)?;
            self.await_mark(port, "new");
            // Nothing else is left.
            world.tools(&["-F"]);
            self.await_mark(port, "destroy");
            if !self.hears(port, "[DESTROY]", PATIENCE) {
                bail!("conntrack -E does not report the end of a mark");
            }
        }
        self.oracle.signal(Signal::SIGTERM);
        let (_, told) = self.oracle.finish_within(PATIENCE);
        let Ended {
            records, stderr, ..
        } = self.watch.end();
        if told.err.contains("ENOBUFS") {
            return Ok(None);
        }
        let lines = self.lines.iter().map(|line| tools::event(line));
        let of_router = records
            .iter()
            .filter(|record| record["netns"] == self.netns);
        let others = world.others();
        let is_elsewhere = |record: &&Value| others.iter().any(|netns| record["netns"] == *netns);
        Ok(Some(Said {
            oracle: events(lines)?,
            elsewhere: records.iter().filter(is_elsewhere).cloned().collect(),
            ours: events(of_router.map(ours::event))?,
            losses: records
                .iter()
                .filter(|record| record["type"] == "loss")
                .cloned()
                .collect(),
            summary: stderr.lines().last().unwrap_or_default().to_owned(),
        }))
    }

    fn send_mark(&mut self, world: &World) -> anyhow::Result<u16> {
        let port = self.next_mark;
        self.next_mark = port.checked_add(1).context("too many marks")?;
        let from = SocketAddr::new([10, 81, 2, 1].into(), port);
        let send = || UdpSocket::bind(from)?.send_to(b"mark", MARK);
        world.at(Space::Router, send)?;
        Ok(port)
    }

    /// Reads what conntrack-tools say until they say this of a mark.
    fn hears(&mut self, port: u16, what: &str, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let is_it =
            |line: &str| line.contains(what) && line.contains(&format!("sport={port} dport=9 "));
        if self.lines.iter().any(|line| is_it(line)) {
            return true;
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(line) = self.oracle.line_within(left) else {
                return false;
            };
            let has_come = is_it(&line);
            self.lines.push(line);
            if has_come {
                return true;
            }
        }
    }

    fn await_mark(&mut self, port: u16, kind: &str) {
        let netns = self.netns;
        self.watch.wait_for("mark", 1, |record| {
            record["type"] == kind && record["netns"] == netns && record["orig"]["sport"] == port
        });
    }
}

/// The events of a stream, without those of marks.
fn events(read: impl Iterator<Item = Result<Option<Event>, String>>) -> anyhow::Result<Vec<Event>> {
    let mark: SocketAddr = MARK.parse()?;
    let mut events = Vec::new();
    for event in read {
        match event.map_err(anyhow::Error::msg)? {
            Some(event) if event.key.orig.dst != mark.ip() => events.push(event),
            _ => {}
        }
    }
    Ok(events)
}
