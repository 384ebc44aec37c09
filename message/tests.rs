//! Messages as they are written and read: the fixed form, any other form, and what is no message.

mod agreement;

use super::{super::frame::FrameReader, *};
use crate::protocol::ErrorCode;

fn parse(json: &str) -> Result<Message, MessageError> {
    Message::parse(Bytes::copy_from_slice(json.as_bytes()))
}

/// The one message that was written.
fn written(write: impl FnOnce(&mut BytesMut)) -> String {
    let mut out = BytesMut::new();
    write(&mut out);
    let mut reader = FrameReader::new(usize::MAX);
    reader.push(out.freeze());
    let frame = reader.next().unwrap().expect("a frame");
    assert_eq!(reader.next(), Ok(None), "one frame only");
    String::from_utf8(frame.to_vec()).unwrap()
}

fn call(json: &str) -> Incoming {
    match parse(json) {
        Ok(Message::Call(call)) => call,
        other => panic!("{json} is a call, and not {other:?}"),
    }
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_call_is_written_in_its_fixed_form_and_read_again() {
    let outgoing = Outgoing {
        method: "kv/get",
        params: br#"{"key":"a"}"#,
        timeout: Some(Duration::from_micros(4_999_500)),
        trace: Some(TRACE.parse().unwrap()),
        is_anonymous: true,
        origin: Some("the \"operator\""),
        credit: Some(7),
    };
    let json = written(|out| outgoing.write(65_536, out));
    let expected = format!(
        r#"{{"jsonrpc":"2.0","id":65536,"method":"kv/get","timeout_ms":5000,"traceparent":"{TRACE}","caller":"anonymous","#
    ) + r#""origin":"the \"operator\"","credit":7,"params":{"key":"a"}}"#;
    assert_eq!(json, expected);
    let call = call(&json);
    assert_eq!((call.id, call.method(), call.params()), (65_536, "kv/get", Some(r#"{"key":"a"}"#)));
    assert_eq!(call.timeout, Some(Duration::from_secs(5)));
    assert_eq!(call.trace.unwrap().to_string(), TRACE);
    assert!(call.is_anonymous);
    assert_eq!((call.origin.as_deref(), call.credit), (Some("the \"operator\""), Some(7)));
}

#[test]
fn a_call_leaves_out_what_was_not_said() {
    let outgoing =
        Outgoing { method: "a\"b/c", params: b"[]", timeout: None, trace: None, is_anonymous: false, origin: None, credit: None };
    let json = written(|out| outgoing.write(1, out));
    assert_eq!(json, r#"{"jsonrpc":"2.0","id":1,"method":"a\"b/c","params":[]}"#);
    let call = call(&json);
    assert_eq!(call.method(), "a\"b/c");
    assert!(call.timeout.is_none() && call.trace.is_none() && call.origin.is_none() && call.credit.is_none());
    assert!(!call.is_anonymous);
}

#[test]
fn a_little_time_left_is_not_none() {
    let outgoing = Outgoing { method: "a/b", params: b"{}", ..call_for(Duration::from_nanos(1_001)) };
    assert_eq!(call(&written(|out| outgoing.write(1, out))).timeout, Some(Duration::from_millis(1)));
    let outgoing = call_for(Duration::ZERO);
    assert_eq!(call(&written(|out| outgoing.write(1, out))).timeout, Some(Duration::ZERO));
}

fn call_for(timeout: Duration) -> Outgoing<'static> {
    Outgoing {
        method: "a/b",
        params: b"{}",
        timeout: Some(timeout),
        trace: None,
        is_anonymous: false,
        origin: None,
        credit: None,
    }
}

#[test]
fn answers_survive_the_way() {
    let json = written(|out| write_answer(9, Ok(br#"{"a":1}"#), out));
    assert_eq!(json, r#"{"jsonrpc":"2.0","id":9,"result":{"a":1}}"#);
    let Ok(Message::Answer { id: 9, answer: Answer::Result(result) }) = parse(&json) else { panic!("{json}") };
    assert_eq!(result, r#"{"a":1}"#);

    let error =
        RpcError { data: Some(RawValue::from_string("null".to_owned()).unwrap()), ..RpcError::new(ErrorCode::SERVICE, "é\n\"") };
    let json = written(|out| write_answer(u64::MAX, Err(&error), out));
    let Ok(Message::Answer { id: u64::MAX, answer: Answer::Error(read) }) = parse(&json) else { panic!("{json}") };
    assert_eq!((read.code, read.message.as_str(), read.data.unwrap().get()), (ErrorCode::SERVICE, "é\n\"", "null"));
}

#[test]
fn notifications_survive_the_way() {
    assert!(matches!(parse(&written(|out| write_cancel(3, out))), Ok(Message::Cancel { id: 3 })));
    assert!(matches!(parse(&written(|out| write_open(3, out))), Ok(Message::Open { id: 3 })));
    assert!(matches!(parse(&written(|out| write_credit(3, u32::MAX, out))), Ok(Message::Credit { id: 3, n: u32::MAX })));
    let body = written(|out| write_body(3, u64::MAX, 5, out));
    assert!(matches!(parse(&body), Ok(Message::Answer { id: 3, answer: Answer::Body { ticket: u64::MAX, size: 5 } })), "{body}");
    let go_away = parse(&written(|out| write_go_away(8, "a \"reason\"\n", out)));
    assert!(matches!(&go_away, Ok(Message::GoAway { taken: 8, reason }) if reason == "a \"reason\"\n"), "{go_away:?}");
    for item in [r#"{"a":1}"#, "null", "[]", "\"}\""] {
        let Ok(Message::Item { id: 3, item: read }) = parse(&written(|out| write_item(3, item.as_bytes(), out))) else {
            panic!("{item}")
        };
        assert_eq!(read, item);
    }
}

#[test]
fn notifications_of_later_versions_are_passed_over_whatever_they_hold() {
    for params in ["", r#","params":{"id":"text"}"#, r#","params":[1,2,3,4,5,6,7,8,9]"#, r#","params":"x""#] {
        let json = format!(r#"{{"jsonrpc":"2.0","method":"$/later"{params}}}"#);
        assert!(matches!(parse(&json), Ok(Message::Unknown)), "{json}");
    }
}

#[test]
fn what_is_no_message_is_refused_and_the_reason_said() {
    let cases = [
        ("", "EOF while parsing"),
        ("{", "EOF while parsing"),
        ("null", "invalid type: null"),
        ("12", "invalid type: integer"),
        (r#"{"jsonrpc":"2.0"}"#, "it is neither a request, nor a response, nor a notification"),
        (r#"{"id":1,"result":1}"#, "missing field `jsonrpc`"),
        (r#"{"jsonrpc":"1.0","id":1,"result":1}"#, "jsonrpc must be"),
        (r#"{"jsonrpc":"2.0","id":1}"#, "neither a request"),
        (r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1,"message":""} }x"#, "trailing characters"),
        (r#"{"jsonrpc":"2.0","error":{"code":1,"message":""},"id":1,"result":1}"#, "neither a request"),
        (r#"{"jsonrpc":"2.0","id":1,"result":}"#, "expected value"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a/b","params":}"#, "expected value"),
        (r#"{"jsonrpc":"2.0","id":1,"error":null}"#, "neither a request"),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a/b"}"#, "duplicate field `id`"),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, "invalid type: integer"),
        (r#"{"jsonrpc":"2.0","method":"a/b","params":{}}"#, "a/b: a call on a session has an id"),
        (r#"{"jsonrpc":"2.0","id":null,"method":"a/b","params":{}}"#, "a/b: a call on a session has an id"),
        (r#"{"jsonrpc":"2.0","method":"$/cancel"}"#, "$/cancel: there is no id"),
        (r#"{"jsonrpc":"2.0","method":"$/cancel","params":{}}"#, "$/cancel: there is no id"),
        (r#"{"jsonrpc":"2.0","method":"$/cancel","params":{"id":"1"}}"#, "$/cancel: invalid type"),
        (r#"{"jsonrpc":"2.0","method":"$/item","params":{"id":1}}"#, "$/item: there is no item"),
        (r#"{"jsonrpc":"2.0","method":"$/credit","params":{"id":1}}"#, "$/credit: there is no n"),
        (r#"{"jsonrpc":"2.0","method":"$/credit","params":{"id":1,"n":4294967296}}"#, "$/credit: invalid value"),
        (r#"{"jsonrpc":"2.0","method":"$/credit","params":{"id":1,"n":-1}}"#, "$/credit: invalid value"),
        (r#"{"jsonrpc":"2.0","method":"$/body","params":{"id":1,"ticket":1}}"#, "$/body: there is no size"),
        (r#"{"jsonrpc":"2.0","method":"$/body","params":{"id":1,"size":1}}"#, "$/body: there is no ticket"),
        (r#"{"jsonrpc":"2.0","method":"$/goaway","params":{"reason":"x"}}"#, "$/goaway: there is no taken"),
    ];
    for (json, why) in cases {
        let error = parse(json).map(|message| format!("{message:?}")).expect_err(json);
        let text = error.to_string();
        assert!(text.starts_with("a message is no JSON-RPC 2.0: ") && text.contains(why), "{json}: {text}");
    }
}

#[test]
fn what_is_not_utf8_is_refused() {
    for bytes in [&b"\xff"[..], b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"\xc3\x28\"}", b"\xed\xa0\x80"] {
        assert_eq!(Message::parse(Bytes::copy_from_slice(bytes)).unwrap_err(), MessageError::NotUtf8);
    }
}

#[test]
fn ids_are_whole_numbers_of_64_bits() {
    for id in [0, 1, 9, 10, 65_536, 999_999_999_999_999_999, 9_999_999_999_999_999_999, u64::MAX] {
        assert_eq!(call(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"a/b","params":{{}}}}"#)).id, id);
        assert_eq!(call(&format!(r#"{{"id":{id},"jsonrpc":"2.0","method":"a/b","params":{{}}}}"#)).id, id);
        let answer = parse(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":1}}"#));
        assert!(matches!(answer, Ok(Message::Answer { id: read, .. }) if read == id), "{answer:?}");
    }
    for id in [
        "00",
        "01",
        "-1",
        "-0",
        "1.0",
        "1.5",
        "1e3",
        "+1",
        "18446744073709551616",
        "99999999999999999999999",
        "\"1\"",
        "[1]",
        "0x1",
        "١",
    ] {
        for rest in [r#""method":"a/b","params":{}"#, r#""result":1"#] {
            let json = format!(r#"{{"jsonrpc":"2.0","id":{id},{rest}}}"#);
            assert!(parse(&json).is_err(), "{json}");
        }
    }
}

#[test]
fn times_are_whole_milliseconds() {
    let with =
        |timeout: &str| parse(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a/b","timeout_ms":{timeout},"params":{{}}}}"#));
    for ms in [0, 1, 5_000, u64::MAX] {
        let Ok(Message::Call(call)) = with(&ms.to_string()) else { panic!("{ms}") };
        assert_eq!(call.timeout, Some(Duration::from_millis(ms)));
    }
    for timeout in ["-1", "1.5", "1e3", "007", "18446744073709551616", "\"5\""] {
        assert!(with(timeout).is_err(), "{timeout}");
    }
}

#[test]
fn a_trace_that_cannot_be_read_is_as_good_as_none_and_hides_nothing_after_it() {
    for trace in ["", "x", &"0".repeat(55), &TRACE.to_uppercase(), &format!("{TRACE}-more")] {
        let call = call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a/b","traceparent":"{trace}","params":{{}}}}"#));
        assert!(call.trace.is_none(), "{trace}");
    }
    // The members after it have just the length of a trace.
    let after = r#"x","caller":"anonymous","origin":""#;
    let origin = "o".repeat(Trace::TEXT_LEN - after.len());
    let call = call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a/b","traceparent":"{after}{origin}","params":{{}}}}"#));
    assert!(call.is_anonymous);
    assert_eq!(call.origin.as_deref(), Some(origin.as_str()));
}

#[test]
fn a_call_that_says_anything_of_its_caller_has_no_name() {
    for caller in ["anonymous", "root", ""] {
        let call = call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a/b","caller":"{caller}","params":{{}}}}"#));
        assert!(call.is_anonymous, "{caller}");
    }
}

#[test]
fn a_method_with_escapes_in_it_is_read_as_what_it_says() {
    assert_eq!(call(r#"{"jsonrpc":"2.0","id":1,"method":"kv\/get\u00e9","params":{}}"#).method(), "kv/geté");
    assert_eq!(call(r#"{"jsonrpc":"2.0","id":1,"method":"kv/geté","params":{}}"#).method(), "kv/geté");
}
