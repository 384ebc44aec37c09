//! Opening a stream, which is known before there is any item.

use super::*;

async fn asked(session: &Session, method: &str, deadline: Instant) -> ItemStream {
    session.open(&Outgoing { credit: Some(4), ..call(method, "2") }, deadline).await.unwrap()
}

#[tokio::test]
async fn a_stream_is_open_before_its_first_item() {
    let pair = Pair::new().await;
    let mut items = asked(&pair.client, "open_and_wait", in_time()).await;
    assert!(matches!(soon(items.opened()).await, StreamOpening::Open));
    assert!(futures::poll!(items.next()).is_pending());
    drop(items);
    Service::reached(&pair.at_server.dropped, 1).await;
}

#[tokio::test]
async fn an_item_says_as_well_that_its_stream_is_open_and_is_not_lost() {
    let pair = Pair::new().await;
    let mut items = asked(&pair.client, "count", in_time()).await;
    assert!(matches!(soon(items.opened()).await, StreamOpening::Open));
    assert_eq!(soon(items.next()).await.unwrap().unwrap(), "0");
    assert_eq!(soon(items.next()).await.unwrap().unwrap(), "1");
    assert!(soon(items.next()).await.is_none());
}

#[tokio::test]
async fn a_method_that_opens_none_answers_as_ever() {
    let pair = Pair::new().await;
    let mut items = asked(&pair.client, "echo", in_time()).await;
    assert!(
        matches!(soon(items.opened()).await, StreamOpening::Answered(Outcome::Answered(Answer::Result(json))) if json == "2")
    );
    assert!(items.next().await.is_none());
    let mut items = asked(&pair.client, "refuse", in_time()).await;
    match soon(items.opened()).await {
        StreamOpening::Answered(outcome) => assert_eq!(refusal(outcome).message, "not today"),
        StreamOpening::Open => panic!("it was refused"),
    }
    assert!(pair.works().await);
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_outlives_the_deadline_of_its_opening() {
    let pair = Pair::new().await;
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut items = asked(&pair.client, "open_and_wait", deadline).await;
    assert!(matches!(soon(items.opened()).await, StreamOpening::Open));
    assert!(tokio::time::timeout(Duration::from_secs(30), items.next()).await.is_err(), "it goes on");
    assert!(pair.works().await);
}

#[tokio::test]
async fn a_session_that_ends_while_a_stream_is_opened_says_so() {
    let pair = Pair::new().await;
    let mut items = asked(&pair.client, "wait", in_time()).await;
    assert!(futures::poll!(Box::pin(items.opened())).is_pending());
    pair.client.cut(Ended::Closed("a test".to_owned()));
    let StreamOpening::Answered(outcome) = soon(items.opened()).await else { panic!("it was never open") };
    assert!(matches!(outcome, Outcome::Lost(_) | Outcome::NotSent(_)), "{outcome:?}");
}
