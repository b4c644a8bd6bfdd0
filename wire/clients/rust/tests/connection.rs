//! Bootstrapping, greeting, pipelining, and what a broken peer gets.
#![allow(clippy::unwrap_used)]

mod fake;

use std::time::Duration;

use fake::Fake;
use fake::fault::{Fault, Gate};
use ringspool_client::{
    AdminError, Client, ClientError, ConnectionError, ErrorCode, NewTopic, RequestError,
};
use ringspool_wire::Api;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What the only server that was tried did.
fn only_attempt(error: ClientError) -> ConnectionError {
    match error {
        ClientError::NoServerAnswered { mut attempts } => {
            assert_eq!(attempts.len(), 1, "{attempts:?}");
            match attempts.remove(0) {
                RequestError::NotSent(error) => error,
                other => panic!("not about connecting: {other}"),
            }
        }
        other => panic!("not about servers: {other}"),
    }
}

#[tokio::test]
async fn a_node_of_other_versions_is_refused_naming_both_sides() {
    let fake = Fake::start().await;
    fake.fail(Api::Hello, 0, Fault::RefuseVersion { version_min: 7, version_max: 9 });
    let error = only_attempt(fake.builder().build().await.unwrap_err());
    let text = error.to_string();
    assert!(text.contains("7 to 9") && text.contains("1 to 1"), "{text}");
    assert!(matches!(error, ConnectionError::UnsupportedVersion { .. }), "{error:?}");
    assert!(!error.is_retriable());
}

#[tokio::test]
async fn what_is_not_a_node_is_told_as_that() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut greeting = [0; 4096];
            assert!(socket.read(&mut greeting).await.unwrap() > 0);
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    for expected in ["HTTP/1.1 400", "closed the connection"] {
        let error = only_attempt(Client::connect(&address).await.unwrap_err());
        assert!(matches!(error, ConnectionError::NotRingspool { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(expected) && text.contains(&address), "{text}");
    }
    serving.await.unwrap();
}

#[tokio::test]
async fn a_server_that_never_greets_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let builder = Client::builder().servers([address]).connect_timeout(Duration::from_millis(20));
    let error = only_attempt(builder.build().await.unwrap_err());
    assert!(matches!(error, ConnectionError::ConnectTimeout { .. }), "{error:?}");
}

#[tokio::test]
async fn servers_without_a_port_are_refused_before_anything_is_tried() {
    for servers in [vec![], vec!["localhost"], vec!["a:1", ""], vec![":7400"], vec!["a:99999"]] {
        let error = Client::builder().servers(servers.clone()).build().await.unwrap_err();
        assert!(matches!(error, ClientError::InvalidServers { .. }), "{servers:?}: {error}");
    }
}

#[tokio::test]
async fn one_server_that_answers_is_enough() {
    let mut dead = Fake::start().await;
    dead.stop();
    let fake = Fake::start().await;
    fake.create_topic("t", 3);
    let servers = format!("{},{}", dead.address(), fake.address());
    let client = Client::connect(&servers).await.unwrap();
    let metadata = client.metadata(&[]).await.unwrap();
    assert_eq!(metadata.topics[0].partitions.len(), 3);
}

#[tokio::test]
async fn answers_find_their_requests_in_any_order() {
    let fake = Fake::start().await;
    fake.create_topic("first", 1);
    fake.create_topic("second", 2);
    let client = fake.client().await;
    let gate = Gate::closed();
    fake.fail(Api::DescribeTopic, 0, Fault::Hold(gate.clone()));
    let admin = client.admin();
    let first = tokio::spawn({
        let admin = admin.clone();
        async move { admin.describe_topic("first").await }
    });
    fake.until(|state| state.seen.iter().any(|seen| seen.api == Api::DescribeTopic)).await;
    // Asked later, answered earlier, on the same connection.
    assert_eq!(admin.describe_topic("second").await.unwrap().states.len(), 2);
    assert!(!first.is_finished());
    gate.open();
    let first = first.await.unwrap().unwrap();
    assert_eq!((first.topic.name.as_str(), first.states.len()), ("first", 1));
    let connections: Vec<u64> =
        fake.seen(Api::DescribeTopic).iter().map(|seen| seen.connection).collect();
    assert_eq!(connections[0], connections[1]);
}

#[tokio::test]
async fn an_answer_nobody_asked_for_ends_the_connection() {
    let fake = Fake::start().await;
    let client = fake.client().await;
    fake.fail(Api::CreateTopic, 0, Fault::WrongCorrelation);
    let error = client.admin().create_topic(NewTopic::new("t")).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("correlation id"), "{text}");
    assert!(matches!(error, AdminError::OutcomeUnknown { .. }), "{error:?}");
    // The next call has a connection of its own.
    assert_eq!(client.admin().list_topics().await.unwrap().len(), 1);
    assert_eq!(fake.count(Api::Hello), 2);
}

#[tokio::test]
async fn a_request_without_an_answer_fails_and_the_next_goes_over_a_new_connection() {
    let fake = Fake::start().await;
    let client = fake.builder().request_timeout(Duration::from_millis(50)).build().await.unwrap();
    fake.fail(Api::CreateTopic, 0, Fault::Ignore);
    let error = client.admin().create_topic(NewTopic::new("t")).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("CreateTopic") && text.contains("50 ms"), "{text}");
    assert!(matches!(error, AdminError::OutcomeUnknown { .. }), "{error:?}");
    client.admin().create_topic(NewTopic::new("t")).await.unwrap();
    assert_eq!(fake.count(Api::Hello), 2);
}

#[tokio::test]
async fn admin_calls_go_through_and_refusals_keep_their_code() {
    let fake = Fake::start().await;
    let admin = fake.client().await.admin();
    let topic = NewTopic::new("t").partitions(4).setting("retention_ms", "1000");
    let id = admin.create_topic(topic.clone()).await.unwrap();
    assert!(id > 0);
    let error = admin.create_topic(topic).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TopicExists));
    assert!(error.to_string().contains("create topic \"t\""), "{error}");
    admin.alter_topic("t", [("retention_ms", "5")]).await.unwrap();
    assert_eq!(admin.list_topics().await.unwrap()[0].partitions, 4);
    assert_eq!(admin.describe_topic("t").await.unwrap().settings[0].key, "retention_ms");
    let offsets = admin.list_offsets("t", &[2, 0], ringspool_client::LATEST).await.unwrap();
    let partitions: Vec<u32> = offsets.iter().map(|answer| answer.partition).collect();
    assert_eq!(partitions, [2, 0]);
    admin.delete_topic("t").await.unwrap();
    assert_eq!(admin.delete_topic("t").await.unwrap_err().code(), Some(ErrorCode::UnknownTopic));
}

#[tokio::test]
async fn a_node_that_is_not_ready_is_asked_again_and_a_lost_creation_is_not() {
    let fake = Fake::start().await;
    let admin = fake.client().await.admin();
    fake.fail(Api::CreateTopic, 0, Fault::Refuse(ErrorCode::NotReady));
    admin.create_topic(NewTopic::new("t")).await.unwrap();
    assert_eq!(fake.count(Api::CreateTopic), 2);
    fake.fail(Api::CreateTopic, 0, Fault::DropAfter);
    let error = admin.create_topic(NewTopic::new("u")).await.unwrap_err();
    assert!(matches!(error, AdminError::OutcomeUnknown { .. }), "{error:?}");
    assert_eq!(fake.count(Api::CreateTopic), 3);
    // Harmless to repeat: done behind the caller's back.
    fake.fail(Api::ListTopics, 0, Fault::DropBefore);
    assert_eq!(admin.list_topics().await.unwrap().len(), 2);
}
