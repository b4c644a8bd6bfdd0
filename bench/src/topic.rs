//! The topic of a run: found, or made, and ready to be used.

use std::time::{Duration, Instant};

use ringspool_client::{Client, EARLIEST, LATEST, NewTopic, OffsetAnswer, ProduceError};
use ringspool_wire::{ApiError, ErrorCode};

use crate::error::BenchError;
use crate::settings::LoadSettings;

/// How long connecting to a server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the partitions of a topic may take to have leaders.
const LEADER_WAIT_MAX: Duration = Duration::from_secs(30);

/// Between two looks at whether they have.
const LEADER_POLL: Duration = Duration::from_millis(5);

/// A client of its own for each thread, so that connections are not shared.
pub(crate) async fn connect(settings: &LoadSettings) -> Result<Client, BenchError> {
    let client = Client::builder()
        .servers(settings.servers.iter())
        .client_name(concat!("ringspool-bench/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .build()
        .await?;
    Ok(client)
}

/// Makes the topic unless it is there, and waits until all its partitions have leaders. Gives their
/// number.
///
/// # Errors
///
/// [`BenchError::OtherTopic`] when it is there with another number of partitions than wanted.
pub(crate) async fn ensure(
    client: &Client,
    settings: &LoadSettings,
    batch_bytes_max: Option<u32>,
) -> Result<u32, BenchError> {
    let name = settings.topic.as_str();
    let mut made = false;
    let started = Instant::now();
    loop {
        let metadata = client.metadata(&[name]).await?;
        let Some(topic) = metadata.topics.into_iter().find(|topic| topic.name == name) else {
            return Err(refused(name, ErrorCode::UnknownTopic, "no metadata of the topic"));
        };
        let without_leader = match topic.error {
            ErrorCode::UnknownTopic if !made => {
                let mut new = NewTopic::new(name).partitions(settings.partitions.unwrap_or(1));
                if let Some(bytes) = batch_bytes_max {
                    new = new.setting("batch_bytes_max", bytes.to_string());
                }
                client.admin().create_topic(new).await?;
                made = true;
                continue;
            }
            ErrorCode::None => {
                topic.partitions.iter().position(|place| place.error != ErrorCode::None)
            }
            code if code.is_retriable() || made => Some(0),
            code => return Err(refused(name, code, "the server does not describe the topic")),
        };
        let Some(partition) = without_leader else {
            let found = topic.partitions.len() as u32;
            return match settings.partitions {
                Some(wanted) if wanted != found => Err(BenchError::OtherTopic {
                    topic: name.to_owned(),
                    found: partitions(found),
                    wanted: format!("{} {}", partitions(wanted), are(wanted)),
                }),
                _ => Ok(found),
            };
        };
        let waited = started.elapsed();
        if waited >= LEADER_WAIT_MAX {
            let (topic, waited_s) = (name.to_owned(), waited.as_secs());
            return Err(BenchError::NoLeader { topic, partition: partition as u32, waited_s });
        }
        tokio::time::sleep(LEADER_POLL).await;
    }
}

/// The first offset, and the one behind the last, of every partition.
pub(crate) async fn ranges(client: &Client, topic: &str) -> Result<Vec<(u64, u64)>, BenchError> {
    let admin = client.admin();
    let starts = admin.list_offsets(topic, &[], EARLIEST).await?;
    let ends = admin.list_offsets(topic, &[], LATEST).await?;
    let offset = |answer: OffsetAnswer| match answer.outcome {
        Ok(found) => Ok(found.offset),
        Err(source) => {
            let (topic, partition) = (topic.into(), answer.partition);
            Err(BenchError::Produce(ProduceError::Refused { topic, partition, source }))
        }
    };
    starts.into_iter().zip(ends).map(|(start, end)| Ok((offset(start)?, offset(end)?))).collect()
}

fn refused(topic: &str, code: ErrorCode, message: &str) -> BenchError {
    let source = ApiError { code, message: message.to_owned() };
    BenchError::Admin(ringspool_client::AdminError::Refused {
        what: format!("use topic {topic:?}"),
        source,
    })
}

fn partitions(count: u32) -> String {
    if count == 1 { "1 partition".to_owned() } else { format!("{count} partitions") }
}

fn are(count: u32) -> &'static str {
    if count == 1 { "is" } else { "are" }
}
