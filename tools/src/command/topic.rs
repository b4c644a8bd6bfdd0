//! `ringspool topic`: create, list, describe, alter, delete.

use ringspool_client::{Client, NewTopic};
use ringspool_wire::ErrorCode;
use serde::Serialize;

use crate::cli::{Global, TopicCommand};
use crate::command::connect;
use crate::error::CommandError;
use crate::output;

/// Runs one topic command.
pub(crate) async fn run(global: &Global, command: TopicCommand) -> Result<(), CommandError> {
    let client = connect(global).await?;
    match command {
        TopicCommand::Create { name, partitions, replicas, settings } => {
            create(global, &client, &name, partitions, replicas, settings).await
        }
        TopicCommand::List => list(global, &client).await,
        TopicCommand::Describe { name } => describe(global, &client, &name).await,
        TopicCommand::Alter { name, settings } => {
            client.admin().alter_topic(&name, settings).await?;
            done(global, "altered", &name)
        }
        TopicCommand::Delete { name } => {
            client.admin().delete_topic(&name).await?;
            done(global, "deleted", &name)
        }
    }
}

#[derive(Serialize)]
struct Created<'a> {
    name: &'a str,
    id: u64,
    partitions: u32,
    replicas: u16,
}

async fn create(
    global: &Global,
    client: &Client,
    name: &str,
    partitions: u32,
    replicas: u16,
    settings: Vec<(String, String)>,
) -> Result<(), CommandError> {
    let mut topic = NewTopic::new(name).partitions(partitions).replicas(replicas);
    for (key, value) in settings {
        topic = topic.setting(key, value);
    }
    let id = client.admin().create_topic(topic).await?;
    if global.json {
        return output::json(&Created { name, id, partitions, replicas });
    }
    let plural = if partitions == 1 { "" } else { "s" };
    output::line(&format!("created {name}: {partitions} partition{plural}, id {id}"))
}

fn done(global: &Global, what: &str, name: &str) -> Result<(), CommandError> {
    if global.json {
        return output::json(&serde_json::json!({ "name": name, "result": what }));
    }
    output::line(&format!("{what} {name}"))
}

#[derive(Serialize)]
struct Summary {
    name: String,
    id: u64,
    partitions: u32,
    replicas: u16,
}

async fn list(global: &Global, client: &Client) -> Result<(), CommandError> {
    let mut topics: Vec<Summary> = client
        .admin()
        .list_topics()
        .await?
        .into_iter()
        .map(|topic| Summary {
            name: topic.name,
            id: topic.id,
            partitions: topic.partitions,
            replicas: topic.replicas,
        })
        .collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    if global.json {
        return output::json(&topics);
    }
    let rows = topics
        .into_iter()
        .map(|topic| {
            vec![
                topic.name,
                topic.id.to_string(),
                topic.partitions.to_string(),
                topic.replicas.to_string(),
            ]
        })
        .collect();
    let headings = ["TOPIC", "ID", "PARTITIONS", "REPLICAS"];
    output::table_or(&headings, &[1, 2, 3], rows, "no topics")
}

#[derive(Serialize)]
struct Description {
    name: String,
    id: u64,
    replicas: u16,
    settings: Vec<SettingRow>,
    partitions: Vec<PartitionRow>,
}

#[derive(Serialize)]
struct SettingRow {
    key: String,
    value: String,
    is_default: bool,
}

#[derive(Serialize)]
struct PartitionRow {
    partition: u32,
    leader: u64,
    vnode: u32,
    shard: u16,
    log_start_offset: u64,
    high_watermark: u64,
    bytes: u64,
    segments: u32,
    /// The name of what keeps the partition from being served, if anything does.
    error: Option<&'static str>,
}

async fn describe(global: &Global, client: &Client, name: &str) -> Result<(), CommandError> {
    let answer = client.admin().describe_topic(name).await?;
    let places = answer.topic.partitions.iter();
    let partitions = (0u32..)
        .zip(places.zip(&answer.states))
        .map(|(partition, (place, state))| {
            let error =
                [state.error, place.error].into_iter().find(|code| *code != ErrorCode::None);
            PartitionRow {
                partition,
                leader: place.leader,
                vnode: place.vnode,
                shard: place.shard,
                log_start_offset: state.log_start_offset,
                high_watermark: state.high_watermark,
                bytes: state.bytes,
                segments: state.segments,
                error: error.map(|code| code.name()),
            }
        })
        .collect();
    let settings = answer
        .settings
        .into_iter()
        .map(|one| SettingRow { key: one.key, value: one.value, is_default: one.is_default })
        .collect();
    let description = Description {
        name: answer.topic.name,
        id: answer.topic.id,
        replicas: answer.replicas,
        settings,
        partitions,
    };
    if global.json {
        return output::json(&description);
    }
    print_description(description)
}

fn print_description(topic: Description) -> Result<(), CommandError> {
    let records: u64 =
        topic.partitions.iter().map(|p| p.high_watermark.saturating_sub(p.log_start_offset)).sum();
    let bytes: u64 = topic.partitions.iter().map(|p| p.bytes).sum();
    output::line(&format!(
        "{}: id {}, {} partitions, {} replicas, {} records, {}\n",
        topic.name,
        topic.id,
        topic.partitions.len(),
        topic.replicas,
        output::count(records),
        output::bytes(bytes),
    ))?;
    let rows = topic
        .settings
        .into_iter()
        .map(|one| {
            let origin = if one.is_default { "default" } else { "set" };
            vec![one.key, one.value, origin.to_owned()]
        })
        .collect();
    output::line(&output::table(&["SETTING", "VALUE", "FROM"], &[1], rows))?;
    output::line("")?;
    let rows = topic
        .partitions
        .into_iter()
        .map(|one| {
            vec![
                one.partition.to_string(),
                one.leader.to_string(),
                one.vnode.to_string(),
                one.shard.to_string(),
                one.log_start_offset.to_string(),
                one.high_watermark.to_string(),
                one.bytes.to_string(),
                one.segments.to_string(),
                one.error.unwrap_or("ok").to_owned(),
            ]
        })
        .collect();
    let headings =
        ["PARTITION", "LEADER", "VNODE", "SHARD", "START", "END", "BYTES", "SEGMENTS", "STATE"];
    output::line(&output::table(&headings, &[0, 1, 2, 3, 4, 5, 6, 7], rows))
}
