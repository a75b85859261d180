//! TLS: encrypted and verified where it is asked for, or no connection at all.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tidegate_drain::sink::Sink as _;
use tidegate_drain::{Error, PostgresOptions, PostgresSink};
use tidegate_testkit::{PostgresServer, poll_until};

use crate::target::{connect, open};

/// Gives a running server a certificate for these names and returns it in PEM.
async fn certify(server: &PostgresServer, names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(names).expect("a certificate");
    let client = connect(&server.url()).await;
    let row = client
        .query_one("SHOW data_directory", &[])
        .await
        .expect("a row");
    let directory = Path::new(row.get::<_, &str>(0)).to_owned();
    let owner = fs::metadata(&directory).expect("the server's directory");
    for (name, text) in [
        ("server.crt", cert.pem()),
        ("server.key", signing_key.serialize_pem()),
    ] {
        let path = directory.join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("private");
        chown(&path, Some(owner.uid()), Some(owner.gid())).expect("the server's own");
    }
    client
        .batch_execute("ALTER SYSTEM SET ssl = on")
        .await
        .expect("set");
    client
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .expect("reloaded");
    let is_on = async || {
        let row = client.query_one("SHOW ssl", &[]).await.expect("a row");
        row.get::<_, &str>(0) == "on"
    };
    poll_until(std::time::Duration::from_secs(20), is_on)
        .await
        .expect("TLS is on");
    cert.pem()
}

#[tokio::test]
async fn tls_is_used_where_it_is_asked_for_and_verified() {
    let server = PostgresServer::start().await.expect("a server");
    let url = server.url();
    let plain = open(&format!("{url}?sslmode=require"))
        .await
        .prepare()
        .await;
    assert!(
        matches!(plain, Err(Error::SinkUnavailable(_))),
        "no TLS, no connection: {plain:?}"
    );

    let trusted = certify(&server, &["127.0.0.1", "localhost"]).await;
    let directory = tempfile::tempdir().expect("a directory");
    let roots = directory.path().join("roots.pem");
    fs::write(&roots, trusted).expect("written");
    let trusting = format!("{url}?sslmode=verify-full&sslrootcert={}", roots.display());
    let sink = open(&trusting).await;
    sink.prepare().await.expect("prepared over TLS");
    let client = connect(&url).await;
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
        WHERE ssl AND application_name = 'tidegate'";
    let count: i64 = client
        .query_one(encrypted, &[])
        .await
        .expect("a row")
        .get(0);
    assert_eq!(count, 1);

    // A certificate that the system doesn't trust, and one for another name.
    let error = open(&format!("{url}?sslmode=require"))
        .await
        .prepare()
        .await;
    assert!(matches!(error, Err(Error::SinkUnavailable(_))), "{error:?}");
    let other = certify(&server, &["other.example"]).await;
    fs::write(&roots, other).expect("written");
    let error = open(&trusting).await.prepare().await;
    assert!(matches!(error, Err(Error::SinkUnavailable(_))), "{error:?}");

    let missing = format!("{url}?sslmode=require&sslrootcert=/none.pem");
    let error = PostgresSink::connect(&missing, PostgresOptions::default()).await;
    assert!(matches!(error, Err(Error::Invalid(_))), "{error:?}");
}
