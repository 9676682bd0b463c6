//! x
use crate::cli::Cli;
use shared::exit::Answer;
/// x
pub fn answer(_question: &str, _cli: &Cli) -> anyhow::Result<Answer> {
    Ok(Answer::No)
}
