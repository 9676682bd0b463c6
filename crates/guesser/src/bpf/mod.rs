//! The kernel side: loads `guesser.bpf.o`, attaches its program, and passes requests and answers.
//! [`skel`] is generated, [`exchange`] is the shared memory, [`sysfs`] a file that is mapped.

pub mod exchange;
mod skel;
pub mod sysfs;

use std::mem::MaybeUninit;

use libbpf_rs::Error;
use libbpf_rs::ErrorKind;
use libbpf_rs::Link;
use libbpf_rs::OpenObject;
use libbpf_rs::PrintLevel;
use libbpf_rs::ProgramInput;
use libbpf_rs::set_print;
use libbpf_rs::skel::OpenSkel as _;
use libbpf_rs::skel::SkelBuilder as _;
use shared::exit::Failure;

use crate::way::Order;
use exchange::Answers;
use exchange::Exchange;
use skel::GuesserSkel;
use skel::GuesserSkelBuilder;

/// The tracepoint at which packets are looked at: in the sender's own system call, behind connection
/// tracking and NAT, before any device.
pub const TRACEPOINT: &str = "net_dev_queue";

/// The capture program, loaded.
pub struct Probe<'obj> {
    // Dropped before the program that it keeps attached.
    link: Option<Link>,
    skel: GuesserSkel<'obj>,
    exchange: Exchange,
}

impl<'obj> Probe<'obj> {
    /// Loads the program.
    ///
    /// # Errors
    /// Exit 4 or 5 if the kernel refuses.
    pub fn load(
        object: &'obj mut MaybeUninit<OpenObject>,
        span_bytes: u64,
    ) -> anyhow::Result<Self> {
        set_print(Some((PrintLevel::Debug, |level, text| {
            let level = match level {
                PrintLevel::Debug => log::Level::Trace,
                PrintLevel::Info | PrintLevel::Warn => log::Level::Debug,
            };
            log::log!(level, "{}", text.trim_end());
        })));
        let skel = GuesserSkelBuilder::default()
            .open(object)
            .and_then(|open| open.load())
            .map_err(|error| refused("load the capture program", error))?;
        let exchange = Exchange::map(&skel.maps.guess_exchange, span_bytes)?;
        Ok(Self {
            link: None,
            skel,
            exchange,
        })
    }

    /// Attaches the program.
    ///
    /// # Errors
    /// Exit 4 or 5 if the kernel refuses.
    pub fn attach(&mut self) -> anyhow::Result<()> {
        let program = &self.skel.progs.on_net_dev_queue;
        let link = program
            .attach_raw_tracepoint(TRACEPOINT)
            .map_err(|error| refused(&format!("attach to raw tracepoint {TRACEPOINT}"), error))?;
        self.link = Some(link);
        Ok(())
    }

    /// Makes the calling thread the one whose events are read.
    ///
    /// # Errors
    /// If the program cannot be run on demand (raw tracepoints: since 5.10).
    pub fn follow_this_thread(&mut self) -> anyhow::Result<()> {
        // `struct bpf_raw_tracepoint_args` with a null pointer, which no tracepoint hands over.
        let mut args = [0; 8];
        let input = ProgramInput {
            context_in: Some(&mut args),
            ..ProgramInput::default()
        };
        self.skel
            .progs
            .on_net_dev_queue
            .test_run(input)
            .map_err(|error| refused("run the capture program", error))?;
        self.exchange.learn_thread();
        Ok(())
    }

    /// Lets the program read what the order says until [`disarm`](Self::disarm).
    pub fn arm(&mut self, order: &Order, token: u64) {
        self.exchange.arm(order, token);
    }

    /// Stops the program and returns what it read of the order.
    pub fn disarm(&mut self, order: &Order) -> Answers {
        self.exchange.disarm(order)
    }
}

/// Tells missing privilege from what the kernel cannot do.
pub fn refused(what: &str, error: Error) -> anyhow::Error {
    let failure = match error.kind() {
        ErrorKind::PermissionDenied => Failure::Privilege(format!(
            "{what}: the kernel refuses bpf() although the capabilities are there \
             (a user namespace, a security module or lockdown)"
        )),
        ErrorKind::OutOfMemory | ErrorKind::Interrupted => Failure::Failed(what.to_owned()),
        _ => Failure::Kernel(what.to_owned()),
    };
    anyhow::Error::new(error).context(failure)
}
