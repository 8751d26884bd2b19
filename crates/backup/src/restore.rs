//! Brings a set back into an empty data folder. It goes on where it was cut off; nobody opens the data before its end.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use sealpost_crypto::{Key, sha256};
use sealpost_store::copy::{self, Loader};
use sealpost_store::{Options, Schema, Value};

use crate::Error;
use crate::make::JOURNAL;
use crate::place::Place;
use crate::progress::Watcher;
use crate::rows::{self, Cutter};
use crate::set::{FileDump, Header, Manifest, PIECE, PackDump, Segment, TableDump};

/// How far ids jump: what the lost server gave after the set must not be given again.
pub const JUMP: i64 = 1_000_000;

/// A set that was opened.
pub struct Opened<'a> {
    place: &'a dyn Place,
    /// What it says without its key.
    pub header: Header,
    /// All that it holds.
    pub manifest: Manifest,
}

/// Opens a set with the life key that its header names.
///
/// # Errors
/// [`Error::Damaged`] when it is not what was written, or the key is another's.
pub fn open<'a>(place: &'a dyn Place, header: Header, key: &Key) -> Result<Opened<'a>, Error> {
    let bytes = place.get(&header.file())?.ok_or_else(|| Error::NoSet(header.set.to_string()))?;
    let manifest = header.open(key, &bytes).ok_or_else(|| Error::damaged(header.set, "the manifest"))?;
    Ok(Opened { place, header, manifest })
}

impl Opened<'_> {
    /// Brings all of it into the folder of `options`, and holds the rows that are there then against the set.
    ///
    /// # Errors
    /// [`Error::Damaged`] names what is not as it was written; the store's when there is data already.
    pub fn restore(&self, options: &Options, schemas: &[&Schema], watch: &Watcher) -> Result<(), Error> {
        let data = &options.data;
        let rows = self.manifest.tables.iter().flat_map(|t| &t.pieces).map(|p| u64::from(p.segment.plain));
        watch.total(rows.sum::<u64>() + self.manifest.packs.iter().map(|p| p.length).sum::<u64>());
        // It makes the folder and says that it is not finished, before anything else is there.
        let mut loader = Loader::open(options, schemas, &self.manifest.formats)?;
        watch.phase("bodies");
        for pack in &self.manifest.packs {
            self.pack(data, pack, watch)?;
        }
        for file in &self.manifest.files {
            self.file(data, file)?;
        }
        watch.phase("rows");
        for table in &self.manifest.tables {
            self.table(&mut loader, table, watch)?;
        }
        watch.phase("comparing");
        for table in &self.manifest.tables {
            watch.check()?;
            self.compare(&loader, table)?;
        }
        Ok(loader.finish(JUMP)?)
    }

    /// The plain bytes of a segment.
    pub(crate) fn segment(&self, segment: &Segment) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
        let file = segment.file();
        let sealed = self.place.get(&file)?;
        sealed.and_then(|sealed| segment.open(&sealed)).ok_or_else(|| Error::damaged(self.header.set, file))
    }

    /// A pack, piece by piece behind what an earlier try left.
    fn pack(&self, data: &Path, pack: &PackDump, watch: &Watcher) -> Result<(), Error> {
        let path = copy::pack_file(data, pack.pack);
        if fs::metadata(&path).is_ok_and(|facts| facts.len() == pack.length) {
            watch.done(pack.length);
            return Ok(());
        }
        make_folder(&copy::packs(data))?;
        let part = path.with_extension("part");
        let failed = |e| Error::file(&part, &e);
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).mode(0o600).open(&part).map_err(failed)?;
        let whole = file.metadata().map_err(failed)?.len() / PIECE as u64;
        file.set_len(whole * PIECE as u64).map_err(failed)?;
        for (number, segment) in (0..).zip(&pack.pieces) {
            watch.check()?;
            if number >= whole {
                file.write_all(&self.segment(segment)?).map_err(failed)?;
            }
            watch.done(segment.plain.into());
        }
        if file.metadata().map_err(failed)?.len() != pack.length {
            return Err(Error::damaged(self.header.set, format!("the list of pack {}", pack.pack)));
        }
        file.sync_all().map_err(failed)?;
        fs::rename(&part, &path).map_err(failed)
    }

    /// The read journal goes into the data folder, the rest of the small files below `restored/`.
    fn file(&self, data: &Path, file: &FileDump) -> Result<(), Error> {
        let name = Path::new(&file.name);
        if !name.components().all(|c| matches!(c, Component::Normal(_))) {
            return Err(Error::damaged(self.header.set, "the list of files"));
        }
        let path = if name.starts_with(JOURNAL) { data.join(name) } else { restored(data).join(name) };
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let mut options = OpenOptions::new();
        let mut write = || -> Result<(), Error> {
            let failed = |e| Error::file(&path, &e);
            let mut to =
                options.write(true).create(true).truncate(true).mode(0o600).open(&path).map_err(failed)?;
            for segment in &file.pieces {
                to.write_all(&self.segment(segment)?).map_err(failed)?;
            }
            to.sync_all().map_err(failed)
        };
        write()
    }

    fn table(&self, loader: &mut Loader, table: &TableDump, watch: &Watcher) -> Result<(), Error> {
        let damaged = || Error::damaged(self.header.set, format!("table {}", table.name));
        let known = loader.tables().iter().find(|t| t.name == table.name);
        if known.is_none_or(|known| known.columns != table.columns) {
            return Err(damaged());
        }
        for (number, piece) in (0..).zip(&table.pieces) {
            watch.check()?;
            if !loader.has(&table.name, number)? {
                let bytes = self.segment(&piece.segment)?;
                if sha256(&bytes) != piece.hash {
                    return Err(damaged());
                }
                loader.load::<Error>(&table.name, number, |add| {
                    let whole = rows::read(&bytes, table.columns.len(), |row| add(row).map_err(Error::from))?;
                    if whole { Ok(()) } else { Err(damaged()) }
                })?;
            }
            watch.done(piece.segment.plain.into());
        }
        Ok(())
    }

    /// Cuts the rows that are there as the set's were cut: the same hashes mean the same rows.
    fn compare(&self, loader: &Loader, dump: &TableDump) -> Result<(), Error> {
        let different = || Error::damaged(self.header.set, format!("table {} as it was restored", dump.name));
        let table = loader.tables().iter().find(|t| t.name == dump.name).ok_or_else(different)?;
        let (mut cutter, mut hashes) = (Cutter::default(), Vec::new());
        let mut rows = loader.walk::<Error>(table, |row: &[Value<'_>]| {
            hashes.extend(cutter.push(row).map(|(bytes, _)| sha256(&bytes)));
            Ok(())
        })?;
        hashes.extend(cutter.end().map(|(bytes, _)| sha256(&bytes)));
        rows = rows.abs_diff(dump.rows);
        if rows == 0 && hashes.iter().eq(dump.pieces.iter().map(|p| &p.hash)) {
            Ok(())
        } else {
            Err(different())
        }
    }
}

/// Where small files of a set are laid that have no place in the data folder: the configuration of that day.
pub fn restored(data: &Path) -> PathBuf {
    data.join("restored")
}

fn make_folder(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.and_then(|()| File::open(path).map(drop)).map_err(|e| Error::file(path, &e))
}
