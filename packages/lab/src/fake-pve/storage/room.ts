// The storage room: definitions, volumes and space. Archives are in `archives.ts`, vzdump in `vzdump-*.ts`.
import {
  die,
  type ArchiveInfo,
  type FakePve,
  type Identity,
  type StorageRoom,
  type Task,
  type VolumeInfo,
} from '../core.ts';
import { checkVolumeAccess } from './access.ts';
import { Archives } from './archives.ts';
import { contentOf, Definitions, option, type Definition } from './definitions.ts';
import type { Disk } from './disk/disk.ts';
import { Hardware } from './hardware.ts';
import { nextDiskName, parseDiskName, splitVolid, utc, type LocalOffset } from './naming.ts';
import { activatePlugin, checkEnabled, locate, servesNode, shownPath, type Location } from './places.ts';
import { emptyImageBytes, mkfsLines, supportsFeature, typeFacts } from './types.ts';
import { readArchivedConfig, unpackArchive, type Unpacked, type UnpackOptions } from './unpack.ts';

export interface StorageRoomOptions {
  /** Size of the root disk, on which `local` lies. Default 252 GiB. */
  readonly rootCapacityBytes?: number;
  /** Bytes on the root disk that are not ours. */
  readonly rootOtherBytes?: number;
  readonly localOffset?: LocalOffset;
}

export interface StorageStatus {
  readonly enabled: boolean;
  readonly active: boolean;
  readonly total: number;
  readonly used: number;
  readonly avail: number;
}

export type ParsedVolid = { storage: string; content: 'images' | 'backup' | 'vztmpl'; name: string; vmid?: number };

/** ext4 with blocks of 4 KiB. */
const largestFile = 16 * 1024 ** 4;

const inactive = { active: false, total: 0, used: 0, avail: 0 };

export class Storage implements StorageRoom {
  readonly pve: FakePve;
  readonly disk: Disk;
  /** Disks, mounts and servers: what a scenario takes away and gives back. */
  readonly hardware: Hardware;
  readonly definitions = new Definitions();
  readonly archives: Archives;
  readonly localOffset: LocalOffset;
  /** UPID of the vzdump that holds `/var/run/vzdump.lock`; a dead holder holds nothing. */
  vzdumpHolder: string | undefined;
  /** `/etc/vzdump.conf`: the limit that applies when a call sets none; 0 is none. */
  readonly vzdumpDefaults = { bwlimitKiB: 0 };

  constructor(pve: FakePve, disk: Disk, options: StorageRoomOptions) {
    this.pve = pve;
    this.disk = disk;
    this.hardware = new Hardware(options.rootCapacityBytes ?? 270_553_174_016);
    const root = this.hardware.place('/').device;
    root.otherBytes = options.rootOtherBytes ?? 0;
    this.localOffset = options.localOffset ?? utc;
    this.archives = new Archives(this);
  }

  // ------------------------------------------------------------------------------------------- definitions

  ids(): readonly string[] {
    return this.definitions.all().map((one) => one.storage);
  }

  exists(storage: string): boolean {
    return this.definitions.find(storage) !== undefined;
  }

  isEnabled(storage: string): boolean {
    const definition = this.definitions.need(storage);
    return option(definition, 'disable') !== '1' && servesNode(definition, this.pve.name);
  }

  type(storage: string): string {
    return this.definitions.need(storage).type;
  }

  hasContent(storage: string, content: string): boolean {
    return contentOf(this.definitions.need(storage)).includes(content);
  }

  activate(storage: string): void {
    this.#usable(storage);
  }

  /** The definition and place of a storage that is enabled and answers; throws otherwise. */
  #usable(storage: string): { definition: Definition; location: Location } {
    const definition = this.definitions.need(storage);
    checkEnabled(definition, this.pve.name);
    activatePlugin(definition, this.hardware);
    return { definition, location: this.place(definition) };
  }

  /** The place of an active storage. */
  place(definition: Definition): Location {
    return locate(definition, this.hardware) ?? die(`storage '${definition.storage}' is not online`);
  }

  /** Path for the disk port of something in a storage. */
  diskPath(storage: string, inside: string): string {
    return `${this.place(this.definitions.need(storage)).base}/${inside}`;
  }

  // ------------------------------------------------------------------------------------------------- space

  status(storage: string): StorageStatus {
    const definition = this.definitions.need(storage);
    const enabled = this.isEnabled(storage);
    if (!enabled) return { enabled, ...inactive };
    try {
      activatePlugin(definition, this.hardware);
    } catch {
      return { enabled, ...inactive };
    }
    const { device } = this.place(definition);
    const used = Math.min(device.capacityBytes, device.otherBytes + this.#usedOn(device.id));
    return { enabled, active: true, total: device.capacityBytes, used, avail: device.capacityBytes - used };
  }

  /** Bytes that can still be written; 0 on a full device, however much its sparse images promise. */
  freeBytes(storage: string): number {
    return this.status(storage).avail;
  }

  #usedOn(deviceId: string): number {
    const bases = new Map<string, Definition>();
    for (const definition of this.definitions.all()) {
      const location = locate(definition, this.hardware);
      if (location?.device.id === deviceId) bases.set(location.base, definition);
    }
    let used = this.disk.fileBytes(`/${encodeURIComponent(deviceId)}`);
    for (const [base, definition] of bases) {
      for (const path of this.#volumePaths(definition, base)) used += this.#usedBytes(path);
    }
    return used;
  }

  #usedBytes(path: string): number {
    const facts = this.disk.volume(path);
    if (facts === undefined) return 0;
    const isImage = facts.sizeBytes > 0 && !/(^|\/)subvol-[^/]*$/.test(path);
    return facts.contentBytes + (isImage ? emptyImageBytes(facts.sizeBytes) : 0);
  }

  // ----------------------------------------------------------------------------------------------- volumes

  async allocate(task: Task | undefined, storage: string, vmid: number, sizeKiB: number): Promise<VolumeInfo> {
    const { definition } = this.#usable(storage);
    const { layout, formats } = typeFacts[definition.type];
    if (layout === undefined) return die(`storage '${storage}' does not support container directories`);
    const format = layout === 'zfs' || sizeKiB === 0 ? 'subvol' : 'raw';
    const name = nextDiskName(layout, vmid, format, this.volumesIn(storage).map(nameOf));
    if (layout === 'lvm' && sizeKiB === 0)
      die(`lvcreate '${shownPath(definition)}/${name}' error: Invalid argument for --virtualsize: 0k`);
    const sizeBytes = sizeKiB * 1024;
    if (formats && sizeBytes > largestFile) {
      const path = this.path(`${storage}:${name}`);
      die(`unable to create image: qemu-img: ${path}: The image size is too large for file format 'raw'`);
    }
    this.createVolume(storage, name, sizeBytes);
    const volid = `${storage}:${name}`;
    if (task !== undefined) {
      if (formats && format === 'raw') {
        task.log(`Formatting '${this.path(volid)}', fmt=raw size=${sizeBytes} preallocation=off`);
      }
      if (layout === 'lvm') task.log(`  Logical volume "${name}" created.`);
      await task.work(this.pve.pace.allocateMs);
      if (format === 'raw') for (const line of mkfsLines(sizeBytes, this.#uuid())) task.log(line);
    }
    return this.volume(volid) ?? die(`cannot find ${volid} that was just made`);
  }

  /** Makes an empty volume without asking anything. */
  createVolume(storage: string, name: string, sizeBytes: number): void {
    this.disk.createVolume(this.#volumePath(storage, name), sizeBytes, this.nowSeconds());
  }

  async free(volid: string): Promise<void> {
    const { storage, name } = this.#split(volid);
    const { layout } = typeFacts[this.definitions.need(storage).type];
    if (layout === undefined) return;
    this.#usable(storage);
    for (const path of this.#withSnapshots(storage, name)) this.disk.removeVolume(path);
  }

  volume(volid: string): VolumeInfo | undefined {
    const parts = splitVolid(volid);
    const definition = parts && this.definitions.find(parts.storage);
    const layout = definition && typeFacts[definition.type].layout;
    const parsed = layout && parts && parseDiskName(layout, parts.name);
    if (!parsed || !locate(definition, this.hardware)) return undefined;
    const path = this.#volumePath(definition.storage, parsed.name);
    const facts = this.disk.volume(path);
    if (facts === undefined) return undefined;
    const { sizeBytes, ctime } = facts;
    const { vmid, format } = parsed;
    return { volid, storage: definition.storage, vmid, format, sizeBytes, usedBytes: this.#usedBytes(path), ctime };
  }

  volumesOf(vmid: number): readonly VolumeInfo[] {
    return this.ids().flatMap((storage) => this.volumesIn(storage).filter((volume) => volume.vmid === vmid));
  }

  /** All container disks of one storage, by volume id; empty while it is not there. */
  volumesIn(storage: string): readonly VolumeInfo[] {
    const definition = this.definitions.need(storage);
    const location = locate(definition, this.hardware);
    const { layout } = typeFacts[definition.type];
    if (location === undefined || layout === undefined) return [];
    return this.#volumePaths(definition, location.base)
      .map((path) => path.slice(`${location.base}/${layout === 'directory' ? 'images/' : ''}`.length))
      .flatMap((name) => this.volume(`${storage}:${name}`) ?? [])
      .sort((a, b) => (a.volid < b.volid ? -1 : 1));
  }

  async resize(volid: string, sizeBytes: number): Promise<void> {
    const { storage, name } = this.#split(volid);
    this.#usable(storage);
    this.disk.resizeVolume(this.#volumePath(storage, name), sizeBytes);
  }

  async rename(volid: string, targetVmid: number): Promise<VolumeInfo> {
    const { storage, name } = this.#split(volid);
    const { layout } = typeFacts[this.#usable(storage).definition.type];
    const format = this.volume(volid)?.format ?? die(`volume '${volid}' does not exist`);
    if (layout === undefined) return die(`storage '${storage}' does not support renaming volumes`);
    const renamed = nextDiskName(layout, targetVmid, format, this.volumesIn(storage).map(nameOf));
    this.disk.moveVolume(this.#volumePath(storage, name), this.#volumePath(storage, renamed));
    return this.volume(`${storage}:${renamed}`) ?? die(`cannot find ${storage}:${renamed} after renaming ${volid}`);
  }

  async copy(task: Task, volid: string, storage: string, vmid: number): Promise<VolumeInfo> {
    const { sizeBytes } = this.volume(volid) ?? die(`volume '${volid}' does not exist`);
    const made = await this.allocate(task, storage, vmid, Math.ceil(sizeBytes / 1024));
    const members = await task.io(() => this.disk.readTree(this.volumeDiskPath(volid)));
    await task.io(() => this.disk.writeTree(this.volumeDiskPath(made.volid), members, { skipExisting: false }));
    return this.volume(made.volid) ?? made;
  }

  hasFeature(volid: string, feature: string, _running: boolean): boolean {
    const volume = this.volume(volid);
    if (volume === undefined) return false;
    return supportsFeature(this.definitions.need(volume.storage).type, volume.format, feature);
  }

  async snapshot(volid: string, name: string): Promise<void> {
    const path = this.#snapshotable(volid);
    await this.disk.copyVolume(path, `${path}@${name}`, this.nowSeconds());
  }

  hasSnapshot(volid: string, name: string): boolean {
    return this.volume(volid) !== undefined && this.disk.volume(`${this.volumeDiskPath(volid)}@${name}`) !== undefined;
  }

  async deleteSnapshot(volid: string, name: string): Promise<void> {
    this.disk.removeVolume(`${this.#snapshotable(volid)}@${name}`);
  }

  async rollback(volid: string, name: string): Promise<void> {
    const path = this.#snapshotable(volid);
    const taken = this.disk.volume(`${path}@${name}`) ?? die(`snapshot '${name}' of volume '${volid}' does not exist`);
    const { storage, name: volume } = this.#split(volid);
    const newer = this.#withSnapshots(storage, volume)
      .filter((one) => one.includes('@') && (this.disk.volume(one)?.ctime ?? 0) > taken.ctime)
      .map((one) => one.slice(one.indexOf('@') + 1));
    // ZFS would have to destroy what is newer; Proxmox refuses instead.
    if (newer.length > 0 && this.type(storage) === 'zfspool') {
      die(`can't rollback, '${name}' is not most recent snapshot on '${volid}'`);
    }
    await this.disk.copyVolume(`${path}@${name}`, path, this.nowSeconds());
  }

  /** The real directory that holds a volume, where the processes of a started guest run; undefined in memory. */
  directoryOf(volid: string): string | undefined {
    const { storage, name } = this.#split(volid);
    return this.disk.directoryOf(this.#volumePath(storage, name));
  }

  /** Path for the disk port of an existing volume; throws when there is none. */
  volumeDiskPath(volid: string): string {
    if (this.volume(volid) === undefined) die(`volume '${volid}' does not exist`);
    const { storage, name } = this.#split(volid);
    return this.#volumePath(storage, name);
  }

  // ---------------------------------------------------------------------------------------------- volume ids

  parse(volid: string): ParsedVolid | undefined {
    const parts = splitVolid(volid);
    const definition = parts && this.definitions.find(parts.storage);
    if (!parts || !definition) return undefined;
    const { storage, name } = parts;
    const { layout } = typeFacts[definition.type];
    const disk = layout && parseDiskName(layout, name);
    if (disk) return { storage, content: 'images', name, vmid: disk.vmid };
    const file = /^(backup|vztmpl)\/(.+)$/.exec(name);
    if (file === null || layout === 'lvm' || layout === 'zfs') return undefined;
    if (file[1] === 'vztmpl') return { storage, content: 'vztmpl', name };
    const vmid = this.archives.nameFacts(storage, file[2] ?? '')?.vmid;
    return vmid === undefined ? { storage, content: 'backup', name } : { storage, content: 'backup', name, vmid };
  }

  checkAccess(who: Identity, volid: string, vmid?: number): void {
    checkVolumeAccess(this.pve.access, who, volid, this.parse(volid), vmid);
  }

  /** Path of a volume or archive as Proxmox shows it. */
  path(volid: string): string {
    const { storage, name } = this.#split(volid);
    const definition = this.definitions.need(storage);
    const base = shownPath(definition);
    const file = /^(backup|vztmpl|iso|snippets)\/(.+)$/.exec(name);
    const folders: Record<string, string> = {
      backup: 'dump',
      vztmpl: 'template/cache',
      iso: 'template/iso',
      snippets: 'snippets',
    };
    if (file !== null) return `${base}/${folders[file[1] ?? '']}/${file[2]}`;
    if (typeFacts[definition.type].layout !== 'directory') return `${base}/${name}`;
    if (definition.type === 'btrfs' && name.endsWith('.raw')) return `${base}/images/${name.slice(0, -4)}/disk.raw`;
    return `${base}/images/${name}`;
  }

  // ----------------------------------------------------------------------------------------------- archives

  archive(volid: string): ArchiveInfo | undefined {
    return this.archives.info(volid);
  }

  archivedConfig(volid: string): Promise<string> {
    return readArchivedConfig(this, volid);
  }

  unpack(
    task: Task,
    volid: string,
    mounts: ReadonlyMap<string, string>,
    options: UnpackOptions = {},
  ): Promise<Unpacked> {
    return unpackArchive(this, task, volid, mounts, options);
  }

  // -------------------------------------------------------------------------------------------------- rows

  row(storage: string): Record<string, unknown> {
    const definition = this.definitions.need(storage);
    const { active, total, used } = this.status(storage);
    const node = this.pve.name;
    return {
      id: `storage/${node}/${storage}`,
      type: 'storage',
      storage,
      node,
      plugintype: definition.type,
      content: contentOf(definition).join(','),
      shared: this.sharedFlag(definition),
      status: active ? 'available' : 'unknown',
      ...(active ? { disk: used, maxdisk: total } : {}),
    };
  }

  sharedFlag(definition: Definition): 0 | 1 {
    return option(definition, 'shared') === '1' || typeFacts[definition.type].shared ? 1 : 0;
  }

  nowSeconds(): number {
    return Math.floor(this.pve.clock.now() / 1000);
  }

  #split(volid: string) {
    return splitVolid(volid) ?? die(`unable to parse volume ID '${volid}'`);
  }

  #volumePath(storage: string, name: string): string {
    const definition = this.definitions.need(storage);
    const folder = typeFacts[definition.type].layout === 'directory' ? 'images/' : '';
    return `${this.place(definition).base}/${folder}${name}`;
  }

  #snapshotable(volid: string): string {
    if (!this.hasFeature(volid, 'snapshot', false)) die(`volume snapshot is not possible for '${volid}'`);
    return this.volumeDiskPath(volid);
  }

  #withSnapshots(storage: string, name: string): readonly string[] {
    const path = this.#volumePath(storage, name);
    const folder = path.slice(0, path.lastIndexOf('/'));
    const own = path.slice(folder.length + 1);
    return this.disk
      .list(folder)
      .filter((one) => one === own || one.startsWith(`${own}@`))
      .map((one) => `${folder}/${one}`);
  }

  /** Paths of all volumes and snapshots below a storage. */
  #volumePaths(definition: Definition, base: string): readonly string[] {
    const { layout } = typeFacts[definition.type];
    if (layout === undefined) return [];
    const folders =
      layout === 'directory' ? this.disk.folders(`${base}/images`).map((one) => `${base}/images/${one}`) : [base];
    return folders.flatMap((folder) => this.disk.list(folder).map((name) => `${folder}/${name}`));
  }

  #uuid(): string {
    const hex = Array.from({ length: 32 }, () => this.pve.random.int(16).toString(16)).join('');
    return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `a${hex.slice(17, 20)}`, hex.slice(20)].join(
      '-',
    );
  }
}

const nameOf = (volume: VolumeInfo) => volume.volid.slice(volume.volid.indexOf(':') + 1);
