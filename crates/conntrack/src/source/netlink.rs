//! placeholder
use super::Source;
use crate::bpf::FlowTable;
use crate::bpf::Object;
use crate::plan::Plan;
use shared::record::wire::Loss;
use shared::record::wire::Record;
use shared::ring::layout::Source as Kind;
use shared::stop::Stop;
use std::time::Duration;

/// x
pub struct Netlink;
impl Netlink {
    /// x
    pub fn open(_plan: &Plan, _object: &mut Object) -> anyhow::Result<Self> {
        Ok(Self)
    }
}
impl Source for Netlink {
    fn kind(&self) -> Kind {
        Kind::Netlink
    }
    fn table(&mut self) -> Option<&mut FlowTable> {
        None
    }
    fn load(&mut self, _: &mut dyn FnMut(Record)) -> anyhow::Result<()> {
        Ok(())
    }
    fn take(&mut self, _: &mut Vec<Record>) -> anyhow::Result<()> {
        Ok(())
    }
    fn wait(&mut self, _: &Stop, _: Duration) -> anyhow::Result<()> {
        Ok(())
    }
    fn tend(&mut self, _: &mut Vec<Record>) -> anyhow::Result<Duration> {
        Ok(Duration::from_secs(1))
    }
    fn lost(&self, _: Loss) -> anyhow::Result<u64> {
        Ok(0)
    }
    fn stop(&mut self) {}
}
