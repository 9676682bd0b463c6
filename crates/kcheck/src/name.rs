//! The names of the probes, which are part of the contract: what each asks, and which privileges
//! its question needs. How it is asked is in `probes`.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;
use shared::capability::Capability;

/// A question to this machine. The order is that of the report: privileges first, then BPF, the
/// network, and the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[value(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Name {
    /// `CAP_BPF`, or `CAP_SYS_ADMIN` in its place, is effective
    CapBpf,
    /// `CAP_PERFMON`, or `CAP_SYS_ADMIN` in its place, is effective
    CapPerfmon,
    /// `CAP_NET_ADMIN` is effective
    CapNetAdmin,
    /// `CAP_SYS_ADMIN` is effective
    CapSysAdmin,
    /// Kernel lockdown leaves reading of kernel memory alone
    Lockdown,
    /// BPF maps can be made whatever `RLIMIT_MEMLOCK` says
    Memlock,
    /// bpf(2) makes an array map
    BpfSyscall,
    /// An array map can be mapped, and shows what bpf(2) stored
    MapArrayMmapable,
    /// A hash map gives back what was stored
    MapHash,
    /// A program's record comes out of a BPF ring buffer
    Ringbuf,
    /// A raw tracepoint program can be run from user space
    ProgTestRun,
    /// A program can walk a map
    ForEachMapElem,
    /// A program can read kernel memory
    ProbeReadKernel,
    /// A program on raw tracepoint net_dev_queue sees our packet
    RawTracepointNetDevQueue,
    /// A program on kprobe udp_sendmsg sees our packet
    Kprobe,
    /// A program on kprobe __nf_conntrack_confirm sees our connection
    KprobeNfConntrackConfirm,
    /// A program on fentry udp_sendmsg sees our packet
    Fentry,
    /// The kernel's BTF describes struct nf_conn
    BtfVmlinux,
    /// A network namespace can be made, with loopback up
    Netns,
    /// A thread can move between network namespaces
    Setns,
    /// The kernel answers RTM_GETROUTE
    Rtnetlink,
    /// nf_tables rules switch connection tracking on
    NftCt,
    /// Connections are tracked
    NfConntrack,
    /// Connections can be put into zones
    CtZones,
    /// Connections can be marked
    CtMark,
    /// nf_tables rules rewrite a connection's destination
    NftNat,
    /// Legacy iptables rules switch connection tracking and NAT on
    IptablesCt,
    /// Connection tracking answers netlink requests
    Ctnetlink,
    /// A new connection is announced
    CtnetlinkEvents,
    /// A BPF file system that we may write to is at /sys/fs/bpf
    Bpffs,
    /// A file in /dev/shm can be made, allocated and mapped
    Shm,
}

impl Name {
    /// The name as it is typed and printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CapBpf => "cap_bpf",
            Self::CapPerfmon => "cap_perfmon",
            Self::CapNetAdmin => "cap_net_admin",
            Self::CapSysAdmin => "cap_sys_admin",
            Self::Lockdown => "lockdown",
            Self::Memlock => "memlock",
            Self::BpfSyscall => "bpf_syscall",
            Self::MapArrayMmapable => "map_array_mmapable",
            Self::MapHash => "map_hash",
            Self::Ringbuf => "ringbuf",
            Self::ProgTestRun => "prog_test_run",
            Self::ForEachMapElem => "for_each_map_elem",
            Self::ProbeReadKernel => "probe_read_kernel",
            Self::RawTracepointNetDevQueue => "raw_tracepoint_net_dev_queue",
            Self::Kprobe => "kprobe",
            Self::KprobeNfConntrackConfirm => "kprobe_nf_conntrack_confirm",
            Self::Fentry => "fentry",
            Self::BtfVmlinux => "btf_vmlinux",
            Self::Netns => "netns",
            Self::Setns => "setns",
            Self::Rtnetlink => "rtnetlink",
            Self::NftCt => "nft_ct",
            Self::NfConntrack => "nf_conntrack",
            Self::CtZones => "ct_zones",
            Self::CtMark => "ct_mark",
            Self::NftNat => "nft_nat",
            Self::IptablesCt => "iptables_ct",
            Self::Ctnetlink => "ctnetlink",
            Self::CtnetlinkEvents => "ctnetlink_events",
            Self::Bpffs => "bpffs",
            Self::Shm => "shm",
        }
    }

    /// What the kernel may ask for before it answers (5.8; older kernels ask for
    /// `CAP_SYS_ADMIN` where these name `CAP_BPF` and `CAP_PERFMON`).
    #[must_use]
    pub fn capabilities(self) -> &'static [Capability] {
        use Capability::CAP_BPF;
        use Capability::CAP_NET_ADMIN;
        use Capability::CAP_PERFMON;
        use Capability::CAP_SYS_ADMIN;
        match self {
            Self::CapBpf
            | Self::BpfSyscall
            | Self::MapArrayMmapable
            | Self::MapHash
            | Self::Memlock => &[CAP_BPF],
            Self::CapPerfmon => &[CAP_PERFMON],
            Self::CapNetAdmin
            | Self::NftCt
            | Self::NfConntrack
            | Self::CtZones
            | Self::CtMark
            | Self::NftNat
            | Self::IptablesCt
            | Self::Ctnetlink
            | Self::CtnetlinkEvents => &[CAP_NET_ADMIN],
            Self::CapSysAdmin | Self::Netns | Self::Setns => &[CAP_SYS_ADMIN],
            Self::Ringbuf
            | Self::ProgTestRun
            | Self::ForEachMapElem
            | Self::ProbeReadKernel
            | Self::RawTracepointNetDevQueue
            | Self::Kprobe
            | Self::KprobeNfConntrackConfirm
            | Self::Fentry => &[CAP_BPF, CAP_PERFMON],
            Self::Lockdown | Self::BtfVmlinux | Self::Rtnetlink | Self::Bpffs | Self::Shm => &[],
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_typed_as_it_is_printed() {
        for &name in Name::value_variants() {
            let typed = name.to_possible_value().expect("no name is hidden");
            assert_eq!(typed.get_name(), name.as_str());
            let json = serde_json::to_string(&name).unwrap();
            assert_eq!(json, format!("\"{name}\""));
        }
    }
}
