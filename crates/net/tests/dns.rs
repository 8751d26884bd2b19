//! Answers of a DNS server, told apart.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, MX, SOA};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use sealpost_net::dns::{Addresses, Error, Fixed, Hickory, Mx, MxHost, Resolver};
use tokio::net::UdpSocket;

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name")
}

fn mx(preference: u16, host: &str) -> RData {
    RData::MX(MX::new(preference, name(host)))
}

/// What the server says of a name and a type: its records, or a code without any.
fn zone(question: &str, kind: RecordType) -> Result<Vec<RData>, ResponseCode> {
    let address = RData::A(A(Ipv4Addr::new(192, 0, 2, 1)));
    match (question, kind) {
        ("two.example.", RecordType::MX) => Ok(vec![mx(20, "Backup.example."), mx(10, "mx.example.")]),
        ("null.example.", RecordType::MX) => Ok(vec![mx(0, ".")]),
        ("bare.example." | "mx.example.", RecordType::A) => Ok(vec![address]),
        ("odd.example.", RecordType::A) => Ok(vec![RData::A(A(Ipv4Addr::UNSPECIFIED)), address]),
        ("alias.example.", RecordType::MX) => Ok(vec![RData::CNAME(CNAME(name("two.example.")))]),
        ("bare.example." | "mx.example." | "odd.example." | "two.example." | "null.example.", _) => {
            Ok(vec![])
        }
        ("failing.example.", _) => Err(ResponseCode::ServFail),
        ("refused.example.", _) => Err(ResponseCode::Refused),
        ("half.example.", RecordType::AAAA) => Err(ResponseCode::ServFail),
        ("half.example.", _) => Ok(vec![]),
        _ => Err(ResponseCode::NXDomain),
    }
}

async fn server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let addr = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut buf = [0; 4096];
        loop {
            let Ok((n, from)) = socket.recv_from(&mut buf).await else { continue };
            let query = Message::from_vec(&buf[..n]).expect("a query");
            let question = query.queries[0].clone();
            let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
            reply.metadata.recursion_available = true;
            reply.add_query(question.clone());
            let soa = SOA::new(name("ns.example."), name("root.example."), 1, 1, 1, 1, 60);
            match zone(&question.name().to_ascii().to_lowercase(), question.query_type()) {
                Ok(records) if !records.is_empty() => {
                    for data in records {
                        reply.add_answer(Record::from_rdata(question.name().clone(), 60, data));
                    }
                }
                other => {
                    reply.metadata.response_code = other.err().unwrap_or(ResponseCode::NoError);
                    reply.add_authority(Record::from_rdata(name("example."), 60, RData::SOA(soa)));
                }
            }
            let _ = socket.send_to(&reply.to_vec().expect("printable"), from).await;
        }
    });
    addr
}

fn host(preference: u16, host: &str) -> MxHost {
    MxHost { preference, host: host.into() }
}

#[tokio::test]
async fn absence_and_failure_are_told_apart() {
    let dns = Hickory::new(&[server().await]).expect("a server");
    for (domain, want) in [
        ("two.example", Mx::Hosts(vec![host(10, "mx.example"), host(20, "backup.example")])),
        ("null.example", Mx::Null),
        ("bare.example", Mx::Implicit),
        ("missing.example", Mx::NoDomain),
    ] {
        assert_eq!(dns.mx(domain).await, Ok(want), "{domain}");
    }
    for domain in ["failing.example", "refused.example"] {
        assert!(matches!(dns.mx(domain).await, Err(Error::Temporary(_))), "{domain}");
        assert!(matches!(dns.addresses(domain).await, Err(Error::Temporary(_))), "{domain}");
    }
    let ip = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    for (host, want) in [
        ("mx.example", Addresses::Found(vec![ip])),
        ("odd.example", Addresses::Found(vec![ip])),
        ("two.example", Addresses::None),
        ("missing.example", Addresses::NoDomain),
    ] {
        assert_eq!(dns.addresses(host).await, Ok(want), "{host}");
    }
    // Half an answer without an address is no absence.
    assert!(matches!(dns.addresses("half.example").await, Err(Error::Temporary(_))));
    assert!(matches!(dns.mx("a..b").await, Err(Error::Name)));
    assert!(matches!(Hickory::new(&[]), Err(Error::Temporary(_))));
}

#[tokio::test]
async fn written_answers() {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let dns = Fixed::new()
        .with_mx("a.test", &[(20, "two.a.test"), (10, "One.a.test.")])
        .with_mx("null.test", &[(0, ".")])
        .with_host("one.a.test", &[ip])
        .with_failure("down.test");
    assert_eq!(dns.mx("A.test").await, Ok(Mx::Hosts(vec![host(10, "one.a.test"), host(20, "two.a.test")])));
    assert_eq!(dns.mx("null.test").await, Ok(Mx::Null));
    assert_eq!(dns.mx("one.a.test").await, Ok(Mx::Implicit));
    assert_eq!(dns.mx("x.test").await, Ok(Mx::NoDomain));
    assert!(matches!(dns.mx("down.test").await, Err(Error::Temporary(_))));
    assert_eq!(dns.addresses("one.a.test").await, Ok(Addresses::Found(vec![ip])));
    assert_eq!(dns.addresses("a.test").await, Ok(Addresses::None));
    assert_eq!(dns.addresses("two.a.test").await, Ok(Addresses::NoDomain));
}
