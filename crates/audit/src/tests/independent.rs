//! Proofs and checkpoints held against implementations that are not ours and that the server doesn't use: `ct-merkle` for
//! the tree, `signed_note` for the signatures.

use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use sha2::Sha256;
use signed_note::{Note, StandardVerifier, VerifierList};

use super::*;

type Root = RootHash<Sha256>;

/// The tree head that a note signs, as a stranger reads it.
fn head(note: &str, verifier: &str) -> Option<Root> {
    let key = StandardVerifier::new(verifier).expect("a verifier key");
    let note = Note::from_bytes(note.as_bytes()).ok()?;
    note.verify(&VerifierList::new(vec![Box::new(key)])).ok()?;
    let text = std::str::from_utf8(note.text()).expect("text");
    let mut lines = text.lines().skip(1);
    let size = lines.next().expect("size").parse().expect("a number");
    let root = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, lines.next().expect("root"));
    Some(root_hash(&root.expect("base64"), size))
}

fn root_hash(root: &[u8], size: u64) -> Root {
    RootHash::new(digest(root), size)
}

fn digest(bytes: &[u8]) -> sha2::digest::Output<Sha256> {
    sha2::digest::Output::<Sha256>::try_from(bytes).expect("32 bytes")
}

fn included(text: &str, verifier: &str) -> bool {
    let proof = Proof::from_text(text).expect("a proof");
    let Some(root) = head(&proof.checkpoint, verifier) else { return false };
    let path = InclusionProof::<Sha256>::from_bytes(proof.path.concat());
    root.verify_inclusion(&proof.leaf, proof.position, &path).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_agree_that_each_entry_is_in_the_log() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for count in [1, 1, 1, 4, 1, 249, 1, 10] {
        ids.extend(world.write(count).await);
        let verifier = world.audit.verifier(tenant()).await.expect("reads").expect("has a key");
        let public = world.audit.public_key(tenant()).await.expect("reads");
        for (position, id) in ids.iter().enumerate().filter(|(n, _)| n % 7 == 0 || n + 3 > ids.len()) {
            let proof = world.audit.prove(tenant(), AuditId::from_raw(*id)).await.expect("proves");
            let proof = proof.expect("is sequenced");
            assert_eq!(proof.position, position as u64);
            assert_eq!(proof.verify(&public), Ok(()));
            let text = proof.to_text();
            assert_eq!(Proof::from_text(&text), Ok(proof.clone()));
            assert!(included(&text, &verifier), "{position} of {}", ids.len());
            // Another leaf, another place, another path, another head.
            for wrong in [
                Proof { leaf: [&proof.leaf[..], b"x"].concat(), ..proof.clone() },
                Proof { position: (proof.position + 1) % ids.len() as u64, ..proof.clone() },
                Proof { path: proof.path.iter().rev().map(|h| h.map(|b| b ^ 1)).collect(), ..proof.clone() },
                Proof { checkpoint: proof.checkpoint.replacen("log/", "lag/", 1), ..proof.clone() },
            ] {
                if wrong != proof {
                    assert!(wrong.verify(&public).is_err(), "{wrong:?}");
                    assert!(!included(&wrong.to_text(), &verifier), "{wrong:?}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_agree_that_the_log_only_grew() {
    let world = World::new().await;
    world.write(20).await;
    world.write_many(300).await;
    let verifier = world.audit.verifier(tenant()).await.expect("reads").expect("has a key");
    let public = world.audit.public_key(tenant()).await.expect("reads");
    for to in [None, Some(320), Some(257), Some(256), Some(5)] {
        for from in [1, 2, 5, 128, 255, 256, 257, 319, 320] {
            let proof = world.audit.consistency(tenant(), from, to).await.expect("proves");
            let Some(proof) = proof else {
                assert!(to.is_some_and(|to| to < from), "{from} {to:?}");
                continue;
            };
            let old = root_hash(&proof.root, from);
            assert_eq!(proof.verify(&public, &proof.root), Ok(()));
            let read = Consistency::from_text(&proof.to_text()).expect("reads");
            assert_eq!((read.from, &read.path, &read.checkpoint), (from, &proof.path, &proof.checkpoint));
            let new = head(&read.checkpoint, &verifier).expect("is signed");
            let path = ConsistencyProof::try_from_bytes(read.path.concat()).expect("a path");
            assert!(new.verify_consistency(&old, &path).is_ok(), "{from} {to:?}");
            let other = root_hash(&proof.root.map(|b| b ^ 1), from);
            assert!(new.verify_consistency(&other, &path).is_err());
            assert!(proof.verify(&public, &proof.root.map(|b| b ^ 1)).is_err());
        }
    }
    for none in [(0, None), (321, None), (5, Some(321))] {
        assert_eq!(world.audit.consistency(tenant(), none.0, none.1).await.expect("answers"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_was_changed_has_no_proof() {
    let world = World::new().await;
    let ids = world.write(10).await;
    let id = ids[4];
    world.attack(move |tx| tx.execute(&FLIP_REASON, params![id]).map(drop));
    let error = world.audit.prove(tenant(), AuditId::from_raw(id)).await.expect_err("nothing to prove");
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    let stranger = world.audit.prove(TenantId::from_raw(1), AuditId::from_raw(ids[5])).await;
    assert_eq!(stranger.expect("answers"), None, "another tenant's");
}
