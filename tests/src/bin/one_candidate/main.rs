//! `one_candidate`: finds offsets as other projects do, one candidate per event, as a baseline for
//! `scripts/bench/guess`. Written from descriptions of them.

mod bpf;
mod plan;
mod search;
mod world;

use std::fs;
use std::mem::MaybeUninit;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use bpf::COMM_BYTES;
use bpf::Mailbox;
use clap::Parser;
use clap::ValueEnum;
use plan::Object;
use plan::Step;
use plan::Trigger;
use search::Found;
use search::GivenUp;
use search::Search;
use shared::cli::Common;
use shared::cli::Tool;
use shared::exit::Answer;
use shared::exit::Failure;
use shared::line::Lines;
use world::Sockets;
use world::Waits;

/// Find offsets as other projects do, as a baseline: one candidate per event, the first match wins,
/// nothing is verified
///
/// Works in the namespace that it is started in, where loopback is up and, for --fields conntrack,
/// UDP is tracked and NAT is in force. Prints a line for each field found, its name and its offset,
/// then events and times. Exit 1: the peer gave up before it had all of its fields.
#[derive(Parser)]
#[command(version, verbatim_doc_comment)]
struct Cli {
    /// Whose algorithm
    #[arg(value_enum)]
    peer: Peer,
    /// What to find, as far as the peer can
    #[arg(long, value_enum, default_value_t = Fields::All)]
    fields: Fields,
    /// Offset of sk_buff._nfct: the peer's hook is handed the nf_conn, this one a packet
    #[arg(long, value_name = "OFFSET")]
    nfct: Option<u32>,
    /// Sleep where the peer does: 200 ms until a connection has settled, 10 ms for each unseen event,
    /// 1 s between attempts
    #[arg(long)]
    with_waits: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, ValueEnum)]
enum Peer {
    /// tcptracer-bpf: a new connection per candidate, every byte is one
    Tcptracer,
    /// datadog-agent: one connection, aligned candidates, no overlaps
    Datadog,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Fields {
    /// Of a tracked connection, and net.ns.inum
    Conntrack,
    /// Of a socket, too
    All,
}

impl Tool for Cli {
    const NAME: &'static str = "one_candidate";

    fn common(&self) -> &Common {
        &self.common
    }
}

fn main() -> ExitCode {
    shared::cli::main(run)
}

fn run(cli: Cli) -> anyhow::Result<Answer> {
    let started = Instant::now();
    let peer = match cli.peer {
        Peer::Tcptracer => &plan::TCPTRACER,
        Peer::Datadog => &plan::DATADOG,
    };
    let first = match cli.fields {
        Fields::Conntrack => peer.inum,
        Fields::All => peer.socket,
    };
    if first.is_empty() {
        return Err(Failure::Usage("this peer does not search tracked connections".into()).into());
    }
    if !peer.conntrack.is_empty() && cli.nfct.is_none() {
        return Err(Failure::Usage("this peer needs --nfct".into()).into());
    }
    let nfct = cli.nfct.filter(|_| !peer.conntrack.is_empty());
    let mut object = MaybeUninit::uninit();
    let mailbox = Mailbox::open(&mut object, peer.trigger, nfct, comm()?)?;
    let attached = Instant::now();

    let mut guess = Guess {
        peer,
        mailbox: &mailbox,
        waits: Waits {
            kept: cli.with_waits,
        },
        events: 0,
        found: Vec::new(),
    };
    let mut is_complete = true;
    for steps in [first, peer.conntrack] {
        if let Err(why) = guess.find(steps)? {
            log::error!("{why}");
            is_complete = false;
        }
    }

    let mut out = Lines::stdout();
    for found in &guess.found {
        out.text(&found.to_string())?;
    }
    let us = |from: Instant, to: Instant| to.duration_since(from).as_micros();
    out.text(&format!("events {}", guess.events))?;
    out.text(&format!("load_attach_us {}", us(started, attached)))?;
    out.text(&format!("guess_us {}", us(attached, Instant::now())))?;
    out.flush()?;
    Ok(if is_complete {
        Answer::Done
    } else {
        Answer::No
    })
}

/// The search for all fields.
struct Guess<'a, 'obj> {
    peer: &'a plan::Peer,
    mailbox: &'a Mailbox<'obj>,
    waits: Waits,
    events: u64,
    found: Vec<Found>,
}

impl Guess<'_, '_> {
    /// Tries some steps until they succeed or no attempt is left. Keeps what the last attempt found,
    /// which the peer would discard.
    fn find(&mut self, steps: &[Step]) -> anyhow::Result<Result<(), GivenUp>> {
        if steps.is_empty() {
            return Ok(Ok(()));
        }
        // A peer with one connection for all steps waits until that settles.
        let is_socket = |step: &Step| step.object == Object::Sock;
        let settles = self.peer.trigger == Trigger::Call && steps.iter().any(is_socket);
        let mut outcome = Ok(());
        for attempt in 0..self.peer.attempts {
            if attempt > 0 {
                self.waits.before_attempt();
            }
            let mut sockets = Sockets::open(self.mailbox, self.peer.trigger, self.waits, settles)?;
            let known = self.found.clone();
            let mut search = Search::new(&mut sockets, self.peer, known);
            let ended = search.run(steps);
            self.events += search.events;
            let found = search.found;
            outcome = match ended {
                Ok(()) => Ok(()),
                Err(error) => Err(error.downcast::<GivenUp>()?),
            };
            let is_last = attempt + 1 == self.peer.attempts;
            if outcome.is_ok() || is_last {
                self.found = found;
                break;
            }
        }
        Ok(outcome)
    }
}

/// The calling thread's name, as the BPF programs see it.
fn comm() -> anyhow::Result<[u8; COMM_BYTES]> {
    let name = fs::read("/proc/thread-self/comm").context("read this thread's name")?;
    let mut comm = [0; COMM_BYTES];
    for (to, from) in comm.iter_mut().zip(name.trim_ascii_end()) {
        *to = *from;
    }
    Ok(comm)
}
