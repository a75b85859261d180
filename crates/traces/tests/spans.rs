//! Spans as a collector sees them: in memory, and on a real connection.

#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that isn't as it claims"
)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use opentelemetry::trace::{Status, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tidegate_drain::apply::Settled;
use tidegate_drain::observer::Batch;
use tidegate_drain::{Error, Observer};
use tidegate_store::{Entry, EntryId};
use tidegate_traces::{Exporter, Spans, spans::LINKS_MAX};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// Far more than any of this takes.
const DEADLINE: Duration = Duration::from_secs(30);

fn entry(number: u64, traceparent: Option<String>) -> Entry {
    let mut fields = vec![("typed_sql".into(), "{}".into())];
    fields.extend(traceparent.map(|text| ("traceparent".into(), text.into_bytes().into())));
    Entry {
        id: EntryId::new(1, number),
        fields,
    }
}

fn parent(span: u64) -> Option<String> {
    Some(format!("00-{TRACE_ID}-{span:016x}-01"))
}

fn batch(shard: u32) -> Batch {
    let settled = Settled {
        applied: 2,
        ..Settled::default()
    };
    Batch {
        shard,
        settled,
        delays_ms: vec![1, 1],
        through: EntryId::ZERO,
        pace: None,
    }
}

fn spans_of(work: impl FnOnce(&dyn Observer)) -> Vec<SpanData> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone());
    let provider = provider.build();
    work(&Spans::new(provider.tracer("test"), Some("acme"), "S"));
    exporter.get_finished_spans().expect("spans")
}

#[test]
fn a_batch_is_linked_to_the_traces_of_its_producers() {
    let spans = spans_of(|observer| {
        let entries = [
            entry(1, parent(1)),
            entry(2, None),
            entry(3, Some("nonsense".to_owned())),
            entry(4, parent(1)),
            entry(5, parent(2)),
        ];
        observer.taken(3, &entries);
        observer.committed(&batch(3));
        // Without a batch in work there is nothing to tell.
        observer.committed(&batch(3));
    });
    let [span] = spans.as_slice() else {
        panic!("one span: {spans:?}");
    };
    let linked: Vec<(String, String)> = span
        .links
        .iter()
        .map(|link| {
            let context = &link.span_context;
            (
                context.trace_id().to_string(),
                context.span_id().to_string(),
            )
        })
        .collect();
    let of = |span: u64| (TRACE_ID.to_owned(), format!("{span:016x}"));
    assert_eq!(linked, [of(1), of(2)]);
    let has = |name: &str, value: &str| {
        let mut attributes = span.attributes.iter();
        attributes.any(|pair| pair.key.as_str() == name && pair.value.as_str() == value)
    };
    assert!(has("tidegate.tenant", "acme") && has("messaging.batch.message_count", "5"));
    assert!(span.start_time <= span.end_time);
}

#[test]
fn a_failed_batch_says_so_and_links_are_bounded() {
    let spans = spans_of(|observer| {
        let entries: Vec<Entry> = (1..=500).map(|n| entry(n, parent(n))).collect();
        observer.taken(0, &entries);
        let error = Error::SinkUnavailable("gone".into());
        observer.failed(Some(0), &error);
    });
    let [span] = spans.as_slice() else {
        panic!("one span: {spans:?}");
    };
    assert_eq!(span.links.len(), LINKS_MAX);
    assert_eq!(span.status, Status::error("sink_unavailable"));
}

#[test]
fn spans_reach_a_collector_by_otlp_over_http() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let collector = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.set_read_timeout(Some(DEADLINE)).expect("set");
        let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
        let trace_id: Vec<u8> = (0..16)
            .map(|at| u8::from_str_radix(&TRACE_ID[2 * at..2 * at + 2], 16).expect("a byte"))
            .collect();
        while !request.windows(16).any(|bytes| bytes == trace_id) {
            let read = stream.read(&mut buffer).expect("a request in time");
            assert!(read > 0, "the request ended without the trace's id");
            request.extend_from_slice(buffer.get(..read).expect("what was read"));
        }
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(answer.as_bytes()).expect("answered");
        request
    });
    let exporter = Exporter::open(&url, "tidegate").expect("an exporter");
    let spans = exporter.spans(None, "S");
    spans.taken(0, &[entry(1, parent(7))]);
    spans.committed(&batch(0));
    exporter.shut_down().expect("sent");
    let request = collector.join().expect("a request");
    assert!(request.starts_with(b"POST /v1/traces HTTP/1.1\r\n"));
}
