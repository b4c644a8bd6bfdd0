//! The way back: every record, compared byte for byte with the line that was acknowledged there.

use std::time::{Duration, Instant};

use ringspool_client::{Client, Position};

use super::TOPIC;
use super::input::Input;
use super::ledger::CheckedLedger;
use crate::error::CommandError;
use crate::progress;

/// How long nothing may come before that counts as records lost.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// What was read, all of it as it should be.
#[derive(Debug)]
pub(crate) struct Compared {
    /// Records.
    pub(crate) records: u64,
    /// Bytes of their values.
    pub(crate) bytes: u64,
    /// How long reading and comparing took.
    pub(crate) elapsed: Duration,
}

/// Reads the topic from its start to its end. Fails at the first byte that differs, and when there
/// is a record too many or too few.
pub(crate) async fn compare(
    client: &Client,
    input: &Input,
    ledger: &CheckedLedger,
) -> Result<Compared, CommandError> {
    check_ends(client, ledger).await?;
    let bar = progress::records(Some(ledger.records()), "reading");
    let started = Instant::now();
    let mut consumer = client.consumer().topic(TOPIC).from(Position::Earliest).build().await?;
    let mut next = vec![0u64; ledger.counts().len()];
    let (mut records, mut bytes) = (0u64, 0u64);
    let mut last_arrival = Instant::now();
    while records < ledger.records() {
        let arrived = consumer.poll(SILENCE_MAX).await?;
        if arrived.is_empty() && last_arrival.elapsed() >= SILENCE_MAX {
            let missing = ledger.records() - records;
            let text = format!("{missing} acknowledged records did not come back");
            return Err(CommandError::Failed(text));
        }
        for consumed in &arrived {
            let (partition, offset) = (consumed.partition, consumed.record.offset);
            let expected = next.get_mut(partition as usize).ok_or_else(|| {
                CommandError::Failed(format!("a record came from partition {partition}"))
            })?;
            if offset != *expected {
                let text =
                    format!("partition {partition}: offset {offset} came instead of {expected}");
                return Err(CommandError::Failed(text));
            }
            *expected += 1;
            let line = ledger.line_at(partition, offset).ok_or_else(|| {
                let text = format!("partition {partition} offset {offset} was never acknowledged");
                CommandError::Failed(text)
            })?;
            if consumed.record.value != input.line(line) {
                let text = format!("partition {partition} offset {offset} is not line {line}");
                return Err(CommandError::Failed(text));
            }
            records += 1;
            bytes += consumed.record.value.len() as u64;
        }
        bar.set_position(records);
        if !arrived.is_empty() {
            last_arrival = Instant::now();
        }
    }
    bar.finish_and_clear();
    Ok(Compared { records, bytes, elapsed: started.elapsed() })
}

/// The partitions must end where the acknowledgements do: nothing may be there that nobody sent.
async fn check_ends(client: &Client, ledger: &CheckedLedger) -> Result<(), CommandError> {
    let description = client.admin().describe_topic(TOPIC).await?;
    let ends: Vec<u64> = description.states.iter().map(|state| state.high_watermark).collect();
    let expected = ledger.counts();
    if ends != expected {
        let text = format!("the partitions end at {ends:?}, the acknowledgements at {expected:?}");
        return Err(CommandError::Failed(text));
    }
    Ok(())
}
