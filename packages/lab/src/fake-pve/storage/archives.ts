// Backups of a storage: what lies in `dump/`, its notes and protection, and retention. PVE: DirPlugin.pm, Storage.pm.
import { die, type ArchiveInfo, type Identity } from '../core.ts';
import { contentOf, option } from './definitions.ts';
import { parseArchiveName, parsePbsName, splitVolid, type ArchiveName } from './naming.ts';
import { markBackups, type KeepPolicy, type Mark } from './prune.ts';
import type { Storage } from './room.ts';

export interface Backup {
  readonly volid: string;
  readonly file: string;
  readonly format: string;
  readonly vmid: number | undefined;
  readonly subtype: 'lxc' | 'qemu' | undefined;
  readonly ctime: number;
  readonly sizeBytes: number;
  readonly notes: string | undefined;
  readonly protected: boolean;
  /** Fingerprint of the key that it was made with; of PBS only. */
  readonly encrypted: string | undefined;
}

export class Archives {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** What the name of a backup says; the part behind `backup/`. */
  nameFacts(storage: string, file: string): ArchiveName | undefined {
    if (this.#storage.type(storage) === 'pbs') return parsePbsName(file);
    return parseArchiveName(file, this.#storage.localOffset);
  }

  /** Path for the disk port. A PBS snapshot has slashes in its name and lies flat. */
  diskPath(storage: string, file: string): string {
    const flat = this.#storage.type(storage) === 'pbs' ? `${file.replaceAll('/', '!')}.tar.zst` : `dump/${file}`;
    return this.#storage.diskPath(storage, flat);
  }

  /** Path of `x` in `{storage}:backup/x` or `{storage}:vztmpl/x`; undefined for anything else. */
  volidPath(volid: string): string | undefined {
    const match = /^(backup|vztmpl)\/(.+)$/.exec(splitVolid(volid)?.name ?? '');
    const storage = splitVolid(volid)?.storage;
    if (match === null || storage === undefined || !this.#storage.exists(storage)) return undefined;
    if (match[1] === 'vztmpl') return this.#storage.diskPath(storage, `template/cache/${match[2]}`);
    return this.diskPath(storage, match[2] ?? '');
  }

  /** All backups of a storage, in the order of the directory listing. */
  list(storage: string): readonly Backup[] {
    const pbs = this.#storage.type(storage) === 'pbs';
    const directory = this.#storage.diskPath(storage, pbs ? '' : 'dump').replace(/\/$/, '');
    const names = this.#storage.disk.list(directory);
    const files = pbs ? names.map((name) => name.replace(/\.tar\.zst$/, '').replaceAll('!', '/')) : names;
    return files.flatMap((file) => this.#backup(storage, file) ?? []);
  }

  /** A template has no owner: vmid 0. */
  info(volid: string): ArchiveInfo | undefined {
    const parts = splitVolid(volid);
    if (parts?.name.startsWith('vztmpl/')) return this.#template(volid, parts.storage);
    if (!parts?.name.startsWith('backup/') || !this.#storage.exists(parts.storage)) return undefined;
    const found = this.#backup(parts.storage, parts.name.slice('backup/'.length));
    if (found?.vmid === undefined) return undefined;
    const { vmid, sizeBytes, ctime, format } = found;
    return { volid, storage: parts.storage, vmid, sizeBytes, ctime, format };
  }

  #template(volid: string, storage: string): ArchiveInfo | undefined {
    const path = this.volidPath(volid);
    const there = path === undefined ? undefined : this.#storage.disk.file(path);
    return (
      there && {
        volid,
        storage,
        vmid: 0,
        sizeBytes: there.sizeBytes,
        ctime: there.mtime,
        format: templateFormat(volid),
      }
    );
  }

  #backup(storage: string, file: string): Backup | undefined {
    const facts = this.nameFacts(storage, file);
    const path = this.diskPath(storage, file);
    const there = facts && this.#storage.disk.file(path);
    if (!there) return undefined;
    return {
      volid: `${storage}:backup/${file}`,
      file,
      format: facts.format,
      vmid: facts.vmid,
      subtype: facts.subtype,
      ctime: facts.ctime ?? there.mtime,
      sizeBytes: there.sizeBytes,
      notes: this.#storage.disk.readText(`${path}.notes`),
      protected: this.#storage.disk.file(`${path}.protected`) !== undefined,
      encrypted: this.#storage.disk.readText(`${path}.key`),
    };
  }

  notes(volid: string): string {
    const path = this.volidPath(volid);
    return (path && this.#storage.disk.readText(`${path}.notes`)) ?? '';
  }

  /** Empty text removes the note. */
  setNotes(volid: string, notes: string): void {
    const path = this.#backupPath(volid) ?? die('only backups can have notes');
    if (notes === '') this.#storage.disk.removeFile(`${path}.notes`);
    else this.#storage.disk.writeText(`${path}.notes`, notes);
  }

  /** To be called when an archive was written: PBS archives are encrypted with the key that the storage has then. */
  seal(storage: string, path: string): void {
    const key = this.keyOf(storage);
    if (key !== undefined) this.#storage.disk.writeText(`${path}.key`, key);
  }

  /** Fingerprint of the key that a PBS storage has now. */
  keyOf(storage: string): string | undefined {
    if (this.#storage.type(storage) !== 'pbs') return undefined;
    return option(this.#storage.definitions.need(storage), 'encryption-key');
  }

  isProtected(volid: string): boolean {
    const path = this.#backupPath(volid);
    return path !== undefined && this.#storage.disk.file(`${path}.protected`) !== undefined;
  }

  /** `who` matters: without Datastore.Allocate a guest may have five protected backups by default. */
  setProtected(who: Identity, volid: string, wanted: boolean): void {
    const path = this.#backupPath(volid) ?? die("only backups support attribute 'protected'");
    if (this.isProtected(volid) === wanted) return;
    if (wanted) {
      this.checkProtectedLimit(who, volid);
      this.#storage.disk.writeText(`${path}.protected`, '');
    } else this.#storage.disk.removeFile(`${path}.protected`);
  }

  checkProtectedLimit(who: Identity, volid: string): void {
    const { storage = '', vmid } = this.#storage.parse(volid) ?? {};
    const limit = this.protectedLimit(who, storage);
    const count = this.list(storage).filter((one) => one.vmid === vmid && one.protected).length;
    if (limit > -1 && count >= limit) {
      die(`The number of protected backups per guest is limited to ${limit} on storage '${storage}'`);
    }
  }

  /** -1 is no limit. PVE: Storage.pm get_max_protected_backups. */
  protectedLimit(who: Identity, storage: string): number {
    const set = option(this.#storage.definitions.need(storage), 'max-protected-backups');
    if (set !== undefined) return Number(set);
    return this.#storage.pve.access.has(who, `/storage/${storage}`, ['Datastore.Allocate']) ? -1 : 5;
  }

  /** Removes a backup and what lies beside it; answers whether there was one. Throws for a protected one. */
  remove(volid: string): boolean {
    const parts = splitVolid(volid);
    if (this.isProtected(volid)) die(`cannot remove protected volume '${parts?.name}' on '${parts?.storage}'`);
    const path = this.volidPath(volid) ?? die(`unable to parse volume ID '${volid}'`);
    const removed = this.#storage.disk.removeFile(path);
    this.#storage.disk.removeFile(`${path}.notes`);
    this.#storage.disk.removeFile(`${path}.key`);
    this.#storage.disk.removeFile(path.replace(/\.[^/]*$/, '.log'));
    return removed;
  }

  /** The backups that a policy applies to, with what it would do. */
  marks(storage: string, policy: KeepPolicy, vmid?: number, type?: string): readonly { backup: Backup; mark: Mark }[] {
    const wanted = this.list(storage).filter(
      (one) => (vmid === undefined || one.vmid === vmid) && (type === undefined || one.subtype === type),
    );
    const groups = Map.groupBy(wanted, (one) => `${one.subtype ?? 'unknown'}/${one.vmid ?? ''}`);
    const marked = new Map<Backup, Mark>();
    for (const group of groups.values()) {
      const candidates = group.map((one) => ({
        ctime: one.ctime,
        protected: one.protected,
        standardName: one.vmid !== undefined,
      }));
      const marks = markBackups(candidates, policy, this.#storage.localOffset);
      group.forEach((one, index) => marked.set(one, marks[index] ?? 'keep'));
    }
    return wanted.map((backup) => ({ backup, mark: marked.get(backup) ?? 'keep' }));
  }

  /** Removes what the policy gives up; `log` hears each removal first. Answers how many went. */
  prune(storage: string, policy: KeepPolicy, log: (line: string) => void, vmid?: number, type?: string): number {
    const doomed = this.marks(storage, policy, vmid, type).filter((one) => one.mark === 'remove');
    for (const { backup } of doomed) {
      log(`removing backup '${backup.volid}'`);
      this.remove(backup.volid);
    }
    return doomed.length;
  }

  /** Throws as the node view of a storage without `backup` in its content does. */
  needBackupContent(storage: string): void {
    if (!contentOf(this.#storage.definitions.need(storage)).includes('backup')) {
      die(`can't use storage '${storage}' for backups - wrong content type`);
    }
  }

  #backupPath(volid: string): string | undefined {
    return splitVolid(volid)?.name.startsWith('backup/') ? this.volidPath(volid) : undefined;
  }
}

/** `tzst`, `tgz`, … as listings show a template. */
export function templateFormat(name: string): string {
  const suffix = /\.tar\.(zst|gz|xz|bz2)$/.exec(name)?.[1];
  return suffix === undefined ? 'tar' : `t${suffix}`;
}
