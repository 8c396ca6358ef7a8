// What a node holds about its guests: config files (text is the truth, as in pmxcfs), firewall files, which containers
// run, and which trees a dead worker left mounted. Nothing here decides anything.
import type { Call, FakePve, GuestConfig } from '../core.ts';
import { die } from '../core.ts';
import { digestOf, mountKeysOf, parseConfig, serializeConfig, unusedKeysOf } from './config-file.ts';

/**
 * How the guests of a node behave. The recordings were made on a bench without AppArmor, where hot-plugging a network
 * device, a mount point or a bigger filesystem always fails and where the guest image configures no addresses.
 */
export interface GuestTraits {
  hotplug: 'works' | 'fails-on-the-bench';
  addresses: 'configured' | 'none';
}

/** What the init of one guest does. */
export type InitBehaviour = 'obeys' | 'cannot-be-executed' | 'ignores-halt';

export interface RunningGuest {
  readonly pid: number;
  /** Wall time in milliseconds. */
  readonly since: number;
}

/** A container came up or went away; `up` comes right after its init was spawned. */
export interface PowerEvent {
  readonly vmid: number;
  readonly is: 'up' | 'down';
}

/** What it answers is waited for on the way down: a container is gone when its processes are. */
export type PowerListener = (event: PowerEvent) => void | Promise<void>;

/** A loaded config together with the digest of the text it came from. */
export interface LoadedConfig {
  readonly config: GuestConfig;
  readonly digest: string;
}

export class GuestStore {
  readonly node: string;
  readonly traits: GuestTraits;
  readonly files = new Map<number, string>();
  readonly firewalls = new Map<number, string>();
  readonly running = new Map<number, RunningGuest>();
  /** Mount path → volume id of trees that a create or restore has mounted under `/var/lib/lxc/{vmid}/rootfs`. */
  readonly mounts = new Map<number, ReadonlyMap<string, string>>();
  readonly inits = new Map<number, InitBehaviour>();
  readonly powerListeners = new Set<PowerListener>();

  constructor(node: string, traits: GuestTraits) {
    this.node = node;
    this.traits = traits;
  }

  load(vmid: number): LoadedConfig {
    const text = this.files.get(vmid);
    if (text === undefined) die(`Configuration file 'nodes/${this.node}/lxc/${vmid}.conf' does not exist`);
    return { config: parseConfig(text), digest: digestOf(text) };
  }

  /** A volume that is mounted (again) is no longer listed as unused. PVE: LXC/Config.pm write_pct_config. */
  write(vmid: number, config: GuestConfig): void {
    const { active } = config;
    const used = new Set(
      mountKeysOf(active).map((key) => (active.get(key) ?? '').replace(/^volume=/, '').split(',')[0]),
    );
    for (const key of unusedKeysOf(active)) if (used.has(active.get(key))) active.delete(key);
    this.files.set(vmid, serializeConfig(config));
  }

  remove(vmid: number): void {
    this.files.delete(vmid);
    this.running.delete(vmid);
    this.inits.delete(vmid);
  }

  async tellPower(event: PowerEvent): Promise<void> {
    for (const listener of this.powerListeners) await listener(event);
  }

  isRunning(vmid: number): boolean {
    return this.running.has(vmid);
  }

  setLock(vmid: number, lock: string | undefined): void {
    const { config } = this.load(vmid);
    if (lock === undefined) config.active.delete('lock');
    else config.active.set('lock', lock);
    this.write(vmid, config);
  }

  initOf(vmid: number, config: GuestConfig): InitBehaviour {
    // An own entrypoint is a plain program as PID 1, which does not know the halt signal of an init.
    return this.inits.get(vmid) ?? (config.active.has('entrypoint') ? 'ignores-halt' : 'obeys');
  }
}

/** The guests room of a node as the handlers of this room see it. */
export interface InnerGuests {
  readonly inside: GuestStore;
}

/** Tells of every start and stop; what it answers ends the telling. */
export interface PowerSource {
  onPower(listener: PowerListener): () => void;
}

export function storeOf(pve: FakePve): GuestStore {
  const guests: object = pve.guests;
  if (!('inside' in guests) || !(guests.inside instanceof GuestStore)) {
    throw new Error('cannot reach the guest store: the guests room of this node was not made by createGuestsRoom');
  }
  return guests.inside;
}

export function checkLock(config: GuestConfig): void {
  const lock = config.active.get('lock');
  if (lock !== undefined) die(`CT is locked (${lock})`);
}

/** `what` as in "can't remove CT 101". */
export function checkProtection(config: GuestConfig, what: string): void {
  if (config.active.get('protection') === '1') die(`${what} - protection mode enabled`);
}

export function isTemplate(config: GuestConfig): boolean {
  return config.active.get('template') === '1';
}

/** `digest` is what the caller last read; absent means that the caller does not care. */
export function assertUnmodified(expected: string | undefined, actual: string): void {
  if (expected !== undefined && expected !== actual) {
    die('detected modified configuration - file changed by other user? Try again.');
  }
}

// -------------------------------------------------------------------------------------------- parameters of a call

export function vmidOf(call: Call): number {
  return Number(call.params['vmid']);
}

export function text(call: Call, name: string): string | undefined {
  const value = call.params[name];
  if (value === undefined || value === null) return undefined;
  return typeof value === 'string' ? value : typeof value === 'number' || typeof value === 'boolean' ? `${value}` : '';
}

export function flag(call: Call, name: string): boolean {
  const value = call.params[name];
  return value === 1 || value === true || value === '1';
}

export function number(call: Call, name: string): number | undefined {
  const value = text(call, name);
  return value === undefined ? undefined : Number(value);
}

/** Lists are separated by comma, semicolon, blank or NUL. PVE: Tools split_list. */
export function list(call: Call, name: string): string[] {
  return (text(call, name) ?? '').split(/[,;\s\0]+/).filter((item) => item !== '');
}
