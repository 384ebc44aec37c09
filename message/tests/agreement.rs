//! The two ways of reading a message: straight from the bytes, and by serde_json.

use proptest::{collection::vec, prelude::*, test_runner::RngSeed};

use super::{super::super::fuzzing::agree, *};

/// What the property tests begin with; another number tries other cases.
const SEED: u64 = 20_260;

/// A value, in any spacing.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""\u0041\"}{\\""#.to_owned()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|values| format!("[{}]", values.join(" ,"))),
            vec(("[a-z\"]{0,3}", inner), 0..3).prop_map(|members| {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|(key, value)| format!("{} :{value}", serde_json::to_string(&key).unwrap()))
                    .collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

/// The members of a call, without its params.
#[derive(Debug, Clone)]
struct Head {
    id: u64,
    method: String,
    timeout: Option<u64>,
    has_trace: bool,
    is_anonymous: bool,
    origin: Option<String>,
    credit: Option<u32>,
}

fn head() -> impl Strategy<Value = Head> {
    let text = prop_oneof!["[a-z/]{0,8}", any::<String>()];
    let numbers = (any::<u64>(), prop::option::of(any::<u64>()), prop::option::of(any::<u32>()));
    (numbers, text.clone(), any::<bool>(), any::<bool>(), prop::option::of(text)).prop_map(
        |((id, timeout, credit), method, has_trace, is_anonymous, origin)| Head {
            id,
            method,
            timeout,
            has_trace,
            is_anonymous,
            origin,
            credit,
        },
    )
}

impl Head {
    /// The members in the fixed order, each with its text.
    fn members(&self, escape: bool) -> Vec<(&'static str, String)> {
        let mut members =
            vec![("jsonrpc", "\"2.0\"".to_owned()), ("id", self.id.to_string()), ("method", text(&self.method, escape))];
        members.extend(self.timeout.map(|timeout| ("timeout_ms", timeout.to_string())));
        members.extend(self.has_trace.then(|| ("traceparent", text(TRACE, escape))));
        members.extend(self.is_anonymous.then(|| ("caller", text("anonymous", escape))));
        members.extend(self.origin.as_ref().map(|origin| ("origin", text(origin, escape))));
        members.extend(self.credit.map(|credit| ("credit", credit.to_string())));
        members
    }

    fn check(&self, call: &Incoming) {
        assert_eq!((call.id, call.method()), (self.id, self.method.as_str()));
        assert_eq!(call.timeout, self.timeout.map(Duration::from_millis));
        assert_eq!(call.trace.map(|trace| trace.to_string()), self.has_trace.then(|| TRACE.to_owned()));
        assert_eq!(call.is_anonymous, self.is_anonymous);
        assert_eq!((call.origin.as_deref(), call.credit), (self.origin.as_deref(), self.credit));
    }
}

/// A string in JSON; where wanted, with every character as an escape.
fn text(text: &str, escape: bool) -> String {
    if escape {
        let units: Vec<_> = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        format!("\"{}\"", units.concat())
    } else {
        serde_json::to_string(text).unwrap()
    }
}

/// An object of these members, with white space wherever it may be.
fn object(members: &[(&str, String)], space: &str) -> String {
    let members: Vec<_> = members.iter().map(|(name, value)| format!("{space}\"{name}\"{space}:{space}{value}{space}")).collect();
    format!("{{{}}}", members.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, rng_seed: RngSeed::Fixed(SEED), ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_as_it_was_meant(head in head(), params in json()) {
        let trace = head.has_trace.then(|| TRACE.parse().unwrap());
        let outgoing = Outgoing {
            method: &head.method,
            params: params.as_bytes(),
            timeout: head.timeout.map(Duration::from_millis),
            trace,
            is_anonymous: head.is_anonymous,
            origin: head.origin.as_deref(),
            credit: head.credit,
        };
        let json = written(|out| outgoing.write(head.id, out));
        let call = call(&json);
        head.check(&call);
        prop_assert_eq!(call.params().unwrap_or("null"), params);
        agree(&json.into());
    }

    #[test]
    fn order_spacing_escapes_and_members_that_are_unknown_change_nothing(
        head in head(),
        params in json(),
        escape in any::<bool>(),
        space in "[ \n\t\r]{0,2}",
        extra in prop::option::of(json()),
        (order, last_stays) in (any::<prop::sample::Index>(), any::<bool>()),
        seed in any::<u64>(),
    ) {
        let mut members = head.members(escape);
        members.extend(extra.map(|extra| ("extra", extra)));
        shuffle(&mut members, seed);
        let place = if last_stays { members.len() } else { order.index(members.len() + 1) };
        members.insert(place, ("params", params.clone()));
        // Members after the params are only read where the message does not begin in the fixed form.
        prop_assume!(place + 1 == members.len() || !space.is_empty() || members[0].0 != "jsonrpc");
        let json = object(&members, &space);
        let call = call(&json);
        head.check(&call);
        prop_assert_eq!(call.params().unwrap_or("null"), params);
        agree(&json.into());
    }

    #[test]
    fn a_result_is_the_same_in_whatever_order_it_came(id in any::<u64>(), result in json(), seed in any::<u64>(), space in "[ \n]{0,1}") {
        let fixed = written(|out| write_answer(id, Ok(result.as_bytes()), out));
        let mut members = vec![("jsonrpc", "\"2.0\"".to_owned()), ("id", id.to_string()), ("result", result.clone())];
        shuffle(&mut members, seed);
        for json in [fixed, object(&members, &space)] {
            let Ok(Message::Answer { id: read, answer: Answer::Result(read_result) }) = parse(&json) else { panic!("{json}") };
            prop_assert_eq!(read, id);
            prop_assert_eq!(read_result.trim_ascii(), result.as_bytes());
            agree(&json.into());
        }
    }

    #[test]
    fn errors_of_any_text_survive_the_way(id in any::<u64>(), code in any::<i32>(), message in any::<String>(), data in prop::option::of(json())) {
        let data = data.map(|data| RawValue::from_string(data).unwrap());
        let error = RpcError { data, ..RpcError::new(ErrorCode(code.into()), message) };
        let json = written(|out| write_answer(id, Err(&error), out));
        let Ok(Message::Answer { id: read_id, answer: Answer::Error(read) }) = parse(&json) else { panic!("{json}") };
        prop_assert_eq!((read_id, read.code, &read.message), (id, error.code, &error.message));
        prop_assert_eq!(read.data.map(|data| data.get().to_owned()), error.data.map(|data| data.get().to_owned()));
    }

    #[test]
    fn any_text_is_read_the_same_both_ways(text in any::<String>(), spoilt in "[ -~]{0,12}", at in any::<prop::sample::Index>()) {
        agree(&text.into());
        let valid = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a/b","timeout_ms":5,"traceparent":"{TRACE}","params":{{"a":1}}}}"#);
        let at = at.index(valid.len());
        agree(&format!("{}{spoilt}{}", &valid[..at], &valid[at..]).into());
        agree(&format!("{}{spoilt}{}", &valid[..at], valid.get(at + spoilt.len()..).unwrap_or_default()).into());
    }
}

/// Puts members into an order that the seed chooses.
fn shuffle<T>(members: &mut [T], mut seed: u64) {
    for last in (1..members.len()).rev() {
        let chosen = usize::try_from(seed % (last as u64 + 1)).unwrap();
        seed /= last as u64 + 1;
        members.swap(last, chosen);
    }
}
