//! temporary
use bytes::Bytes;
use rustis::client::Client;
use rustis::resp::*;
use std::time::Instant;
use tidegate_testkit::RedisServer;
struct Raw<'a>(&'a [u8]);
impl serde::Serialize for Raw<'_> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(self.0)
    }
}
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    s.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}
fn fields() -> Vec<(Bytes, Bytes)> {
    vec![
        (
            Bytes::from_static(b"request_id"),
            Bytes::from_static(b"0123456789abcdef0123456789abcdef"),
        ),
        (
            Bytes::from_static(b"global_id"),
            Bytes::from_static(b"0123456789abcdef0123456789abcdef"),
        ),
        (
            Bytes::from_static(b"typed_sql"),
            Bytes::from(vec![b'x'; 900]),
        ),
        (
            Bytes::from_static(b"pushed_at"),
            Bytes::from_static(b"1700000000"),
        ),
    ]
}
fn xadd(key: &str, f: &[(Bytes, Bytes)]) -> CommandBuilder {
    f.iter().fold(cmd("XADD").key(key).arg("*"), |c, (n, v)| {
        c.arg(Raw(n)).arg(Raw(v))
    })
}
#[tokio::test]
async fn rate() {
    let server = RedisServer::start().await.unwrap();
    let client = Client::connect(server.url()).await.unwrap();
    let info: String = client.send(cmd("INFO").arg("server"), None).await.unwrap();
    let pid: u32 = info.lines().find_map(|l| l.strip_prefix("process_id:")).unwrap().trim().parse().unwrap();
    let scpu = || std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap().split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9;
    let f = fields();
    let script = include_str!("../src/redis/scripts/append.lua");
    for round in 0..2 {
        for chunk in [50_usize, 100, 200, 500, 1000] {
            let n = 100_000 / chunk;
            let (t, c, sc) = (Instant::now(), cpu(), scpu());
            for _ in 0..n {
                let mut p = client.create_pipeline();
                for _ in 0..chunk {
                    p.queue_command(xadd("a", &f));
                }
                let _: Vec<String> = p.execute().await.unwrap();
            }
            println!(
                "{round} pipeline {chunk}: {:.0}/s {:.2} us client {:.2} us server",
                1e5 / t.elapsed().as_secs_f64(),
                (cpu() - c) * 10.0, (scpu() - sc) * 10.0
            );
            let (t, c, sc) = (Instant::now(), cpu(), scpu());
            for _ in 0..n {
                let mut p = client.create_transaction();
                for _ in 0..chunk {
                    p.queue_command(xadd("b", &f));
                }
                let _: Vec<String> = p.execute().await.unwrap();
            }
            println!(
                "{round} multi {chunk}: {:.0}/s {:.2} us client {:.2} us server",
                1e5 / t.elapsed().as_secs_f64(),
                (cpu() - c) * 10.0, (scpu() - sc) * 10.0
            );
            let (t, c, sc) = (Instant::now(), cpu(), scpu());
            for _ in 0..n {
                let mut p = cmd("EVAL").arg(script).arg(1).key("c");
                for _ in 0..chunk {
                    p = f
                        .iter()
                        .fold(p.arg(8), |c, (n, v)| c.arg(Raw(n)).arg(Raw(v)));
                }
                let _ = client.send_raw(p, None).await.unwrap();
            }
            println!(
                "{round} lua {chunk}: {:.0}/s {:.2} us client {:.2} us server",
                1e5 / t.elapsed().as_secs_f64(),
                (cpu() - c) * 10.0, (scpu() - sc) * 10.0
            );
        }
    }
}
