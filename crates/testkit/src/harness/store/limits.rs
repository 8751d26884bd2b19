//! What this machine can do at best, measured in the same run.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::fd::AsFd,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use sealpost_crypto::{Aad, Random};
use sealpost_model::{Id, TenantId};

const TIME: Duration = Duration::from_secs(1);

/// Durable appends of 4 KiB, one by one and 64 at a time; AES-256-GCM over 16 KiB on one core.
pub(super) fn measure(folder: &Path) -> Result<String> {
    let (single, grouped) = (syncs(folder, 1)?, syncs(folder, 64)?);
    Ok(format!(
        "limits: {single:.0} fdatasync/s of one 4 KiB append, {:.0} appends/s in groups of 64; AES-256-GCM {:.1} GB/s \
         on one core\n",
        grouped * 64.0,
        sealing() / 1e9
    ))
}

/// Groups of appends of 4 KiB, each group made durable: groups a second.
pub(super) fn syncs(folder: &Path, group: usize) -> Result<f64> {
    let path = folder.join("bench-sync");
    let mut file = OpenOptions::new().create_new(true).append(true).open(&path)?;
    let block = vec![0x5a; 4096];
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < TIME {
        for _ in 0..group {
            file.write_all(&block)?;
        }
        rustix::fs::fdatasync(file.as_fd())?;
        count += 1;
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// Bytes a second.
fn sealing() -> f64 {
    let random = Random::system();
    let (key, plain) = (random.key(), vec![7; 16 << 10]);
    let (start, mut bytes) = (Instant::now(), 0_usize);
    while start.elapsed() < TIME / 2 {
        let sealed = key.seal(&random, &Aad::new(TenantId::from_raw(1), "bench", 1, "body"), &plain);
        bytes += std::hint::black_box(sealed).len();
    }
    bytes as f64 / start.elapsed().as_secs_f64()
}
