//! Loading and attaching the programs of one source.

use std::mem::MaybeUninit;

use anyhow::Context as _;
use libbpf_rs::Link;
use libbpf_rs::MapHandle;
use libbpf_rs::OpenObject;
use libbpf_rs::ProgramMut;
use libbpf_rs::ProgramType;
use libbpf_rs::libbpf_sys::BPF_FUNC_for_each_map_elem;
use libbpf_rs::skel::OpenSkel as _;
use libbpf_rs::skel::SkelBuilder as _;

use super::Events;
use super::FlowTable;
use super::Losses;
use super::skel::ConntrackSkel;
use super::skel::ConntrackSkelBuilder;
use super::skel::OpenConntrackProgs;
use super::skel::types;
use super::sweep::Sweep;
use crate::layout::Layout;

/// Room for an opened object, which has to outlive its programs.
pub type Object = MaybeUninit<OpenObject>;

/// Which hook the programs hang on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Raw tracepoint `net_dev_queue`.
    Tracepoint,
    /// Kprobes on confirmation and end.
    Kprobe,
    /// None: only the maps are wanted.
    None,
}

/// What the programs are told before they are loaded.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Where the kernel keeps things.
    pub layout: Layout,
    /// Leave out connections that are not rewritten.
    pub nat_only: bool,
    /// Entries of each family's table.
    pub max_entries: u32,
    /// Bytes of the BPF ring buffer: a power of two of pages.
    pub ringbuf_bytes: u32,
    /// Makes ids unpredictable.
    pub ct_id_secret: u64,
}

/// Loaded programs. Dropping them detaches and unloads everything that is not pinned.
pub struct Programs<'obj> {
    skel: ConntrackSkel<'obj>,
    hook: Hook,
    links: Vec<Link>,
    /// Does this kernel let a program walk a map?
    pub has_sweep: bool,
    /// Does a hook tell of ends?
    pub hears_ends: bool,
}

impl<'obj> Programs<'obj> {
    /// Loads what `hook` needs, attached to nothing yet.
    ///
    /// # Errors
    /// If the kernel refuses a map or a program.
    pub fn load(object: &'obj mut Object, hook: Hook, settings: &Settings) -> anyhow::Result<Self> {
        let mut open = ConntrackSkelBuilder::default()
            .open(object)
            .context("open the BPF object")?;
        for flows in [&mut open.maps.flows4, &mut open.maps.flows6] {
            flows.set_max_entries(settings.max_entries)?;
        }
        open.maps.events.set_max_entries(settings.ringbuf_bytes)?;

        // Walking a map came with 5.13.
        let has_sweep = hook != Hook::None
            && ProgramType::RawTracepoint
                .is_helper_supported(BPF_FUNC_for_each_map_elem)
                .unwrap_or(false);
        let rodata = open.maps.rodata_data.as_deref_mut();
        let rodata = rodata.context("the BPF object has no read-only data")?;
        tell(rodata, settings);
        rodata.can_sweep = has_sweep;
        choose(&mut open.progs, hook, has_sweep);
        let skel = open.load().context("load the BPF programs")?;
        Ok(Self {
            skel,
            hook,
            links: Vec::new(),
            has_sweep,
            hears_ends: false,
        })
    }

    /// Attaches what was loaded.
    ///
    /// # Errors
    /// If the kernel refuses, or has none of the functions that a kprobe needs.
    pub fn attach(&mut self) -> anyhow::Result<()> {
        match self.hook {
            Hook::Tracepoint => self.attach_tracepoint(),
            Hook::Kprobe => self.attach_kprobes(),
            Hook::None => Ok(()),
        }
    }

    fn attach_tracepoint(&mut self) -> anyhow::Result<()> {
        let link = self
            .skel
            .progs
            .on_net_dev_queue
            .attach_raw_tracepoint("net_dev_queue")
            .context("attach raw tracepoint net_dev_queue")?;
        self.links.push(link);
        Ok(())
    }

    fn attach_kprobes(&mut self) -> anyhow::Result<()> {
        let progs = &self.skel.progs;
        let mut links = vec![
            // The return first: an entry without its return would be remembered for nothing.
            attach_kprobe(&progs.on_confirmed, true, "__nf_conntrack_confirm")?,
            attach_kprobe(&progs.on_confirm, false, "__nf_conntrack_confirm")?,
        ];
        let inserts = attach_kprobe(&progs.on_inserted, true, "nf_conntrack_hash_check_insert")
            .and_then(|link| {
                links.push(link);
                attach_kprobe(&progs.on_insert, false, "nf_conntrack_hash_check_insert")
            });
        match inserts {
            Ok(link) => links.push(link),
            Err(error) => log::info!("connections that user space inserts are not seen: {error:#}"),
        }
        // Renamed in 6.1. Without either the sweep alone tells of ends.
        let destroy = attach_kprobe(&progs.on_destroy, false, "nf_ct_destroy")
            .or_else(|_| attach_kprobe(&progs.on_destroy, false, "destroy_conntrack"));
        self.hears_ends = destroy.is_ok();
        match destroy {
            Ok(link) => links.push(link),
            Err(error) => log::info!("ends of connections come from the sweep alone: {error:#}"),
        }
        self.links = links;
        Ok(())
    }

    /// Takes the programs off their hooks; what they have told can still be read.
    pub fn detach(&mut self) {
        self.links.clear();
    }

    /// The NAT table.
    ///
    /// # Errors
    /// If no file descriptor is left.
    pub fn table(&self) -> anyhow::Result<FlowTable> {
        let maps = &self.skel.maps;
        Ok(FlowTable::new(
            MapHandle::try_from(&maps.flows4)?,
            MapHandle::try_from(&maps.flows6)?,
        ))
    }

    /// The events.
    ///
    /// # Errors
    /// If the ring buffer cannot be mapped.
    pub fn events(&self) -> anyhow::Result<Events> {
        Events::open(&self.skel.maps.events, &self.skel.maps.bss)
    }

    /// The loss counters.
    ///
    /// # Errors
    /// If no file descriptor is left.
    pub fn losses(&self) -> anyhow::Result<Losses> {
        Ok(Losses::new(MapHandle::try_from(&self.skel.maps.losses)?))
    }

    /// Looks after every entry of the table once.
    ///
    /// # Errors
    /// If the kernel refuses to run the program.
    pub fn sweep(&mut self) -> anyhow::Result<Sweep> {
        super::sweep::run(&mut self.skel)
    }
}

/// Leaves out the programs that this hook does not need, or the kernel could not load.
fn choose(progs: &mut OpenConntrackProgs<'_>, hook: Hook, has_sweep: bool) {
    progs
        .on_net_dev_queue
        .set_autoload(hook == Hook::Tracepoint);
    for prog in [
        &mut progs.on_confirm,
        &mut progs.on_confirmed,
        &mut progs.on_insert,
        &mut progs.on_inserted,
        &mut progs.on_destroy,
    ] {
        prog.set_autoload(hook == Hook::Kprobe);
    }
    progs.sweep.set_autoload(has_sweep);
}

fn attach_kprobe(
    program: &ProgramMut<'_>,
    is_return: bool,
    function: &str,
) -> anyhow::Result<Link> {
    program
        .attach_kprobe(is_return, function)
        .with_context(|| format!("attach kprobe {function}"))
}

/// Hands over every setting: one that is added and not passed on does not compile.
fn tell(rodata: &mut types::rodata, settings: &Settings) {
    let Settings {
        layout,
        nat_only,
        max_entries: _,
        ringbuf_bytes: _,
        ct_id_secret,
    } = *settings;
    let Layout {
        skb_nfct,
        window_start,
        window_bytes,
        at_orig,
        at_reply,
        at_status,
        at_ct_net,
        at_mark,
        at_zone,
        net_inum,
        ct_status,
        known,
    } = layout;
    rodata.off_skb_nfct = skb_nfct;
    rodata.window_start = window_start;
    rodata.window_bytes = window_bytes;
    rodata.at_orig = at_orig;
    rodata.at_reply = at_reply;
    rodata.at_status = at_status;
    rodata.at_ct_net = at_ct_net;
    rodata.at_mark = at_mark;
    rodata.at_zone = at_zone;
    rodata.off_net_inum = net_inum;
    rodata.off_ct_status = ct_status;
    rodata.layout_known = known;
    rodata.nat_only = nat_only;
    rodata.ct_id_secret = ct_id_secret;
}
