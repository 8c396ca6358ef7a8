/**
 * What may differ between a recorded answer and ours, by rule and never by exchange. Everything else must be equal.
 */
import { textOf } from '../fake-pve/core.ts';
import { isRecord } from './exchange.ts';

/** Names that differ between the worlds, learned where both sides show one in the same place. */
export interface Names {
  /** Recorded → ours: UPIDs, archive times, MACs, digests. */
  readonly learned: Map<string, string>;
  /** MACs that a request gave: those must come back as they are. */
  readonly given: Set<string>;
}

export function createNames(): Names {
  return { learned: new Map(), given: new Set() };
}

interface KeyRule {
  readonly key: RegExp;
  /** Only in answers to these paths. */
  readonly path?: RegExp;
  readonly how: 'ignore' | 'shape' | 'near' | 'set' | 'learn';
  readonly reason: string;
}

/** By the name of a field, the first that fits counts. */
export const keyRules: readonly KeyRule[] = [
  { key: /^pressure|^cgroup-mode$/, how: 'ignore', reason: 'artefact of the cgroup v1 bench' },
  { key: /^(upid|digest)$/, how: 'learn', reason: 'made of pids, times and MACs' },
  { key: /^(pid|pstart)$/, how: 'shape', reason: 'process numbers of the machine' },
  { key: /^(starttime|endtime|time|localtime)$/, how: 'near', reason: 'the recording has whole seconds' },
  { key: /^total$/, path: /\/tasks$/, how: 'shape', reason: 'tasks that ran before and beside the recording' },
  { key: /^(value|ticket|CSRFPreventionToken|ssl_fingerprint)$/, how: 'shape', reason: 'secrets and certificates' },
  {
    key: /^(cpu|mem|memhost|swap|disk|diskread|diskwrite|netin|netout|uptime|used|avail|used_fraction)$/,
    how: 'shape',
    reason: 'statistics',
  },
  {
    key: /^(total|maxdisk|maxmem|maxcpu|size)$/,
    path: /^\/(nodes(\/[^/]+)?(\/status|\/storage.*)?$|cluster\/resources|pools)/,
    how: 'shape',
    reason: 'sizes of the machine and of real files',
  },
  {
    key: /^(kversion|current-kernel|cpuinfo|loadavg|memory|rootfs|swap|wait|idle|boot-info|ksm)$/,
    path: /^\/nodes\/[^/]+\/status$/,
    how: 'shape',
    reason: 'statistics and hardware of the node',
  },
  { key: /^(maxdisk)$/, path: /\/(status\/current|lxc)$/, how: 'shape', reason: 'df of a running guest' },
  { key: /^data$/, path: /\/apt\/versions$/, how: 'shape', reason: 'packages of the machine' },
  { key: /^(content|privs)$/, how: 'set', reason: 'order of a Perl hash' },
];

interface TextRule {
  readonly pattern: RegExp;
  readonly becomes: string;
  readonly reason: string;
}

/** Applied to every text of both sides. */
export const textRules: readonly TextRule[] = [
  {
    pattern: / at (\/[\w/.-]+\.pm|\S+) line \d+(, <\w+> line \d+)?\.?/g,
    becomes: ' at PERL',
    reason: 'Perl file and line',
  },
  { pattern: /\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\dZ?/g, becomes: 'TIME', reason: 'clock times' },
  { pattern: /\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, becomes: 'UUID', reason: 'random UUIDs' },
  { pattern: /\(\d\d:\d\d:\d\d\)/g, becomes: '(DURATION)', reason: 'how long a backup took' },
  { pattern: /Total bytes written: \d+ \([^)]*\)/g, becomes: 'Total bytes written', reason: 'sizes of real files' },
  { pattern: /Total bytes read: \d+ \([^)]*\)/g, becomes: 'Total bytes read', reason: 'sizes of real files' },
  { pattern: /\/proc\/\d+\//g, becomes: '/proc/PID/', reason: 'process numbers' },
  { pattern: /transferred \S+( bytes)? in \S+/g, becomes: 'transferred', reason: 'sizes of real files' },
  { pattern: /after <?\d+ seconds?/g, becomes: 'after SECONDS', reason: 'how long a guest was down' },
  { pattern: /archive file size: \S+/g, becomes: 'archive file size', reason: 'sizes of real files' },
  { pattern: /\d+\/\d+ (files|blocks)/g, becomes: 'USED $1', reason: 'occupation of a real file system' },
  { pattern: /\b\d+ inodes|\b\d+ 4k blocks/g, becomes: 'BLOCKS', reason: 'geometry of a real file system' },
];

const upid = /UPID:[^\s:]+:[0-9A-F]{8}:[0-9A-F]{8,9}:[0-9A-F]{8}:[^\s:]+:[^\s:]*:[^\s:]+:/g;
const mac = /\b[0-9A-F]{2}(:[0-9A-F]{2}){5}\b/gi;
const archiveTime = /vzdump-lxc-\d+-\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d/g;
const learnable = [upid, mac, archiveTime];

/** Rewrites the names of the recording into ours, in paths and parameters of later calls. */
export function translate(text: string, names: Names): string {
  let result = text;
  for (const pattern of [...learnable, /\b[0-9a-f]{40}\b/g])
    result = result.replaceAll(pattern, (name) => names.learned.get(name) ?? name);
  return result;
}

export interface Difference {
  /** JSON path. */
  readonly at: string;
  readonly recorded: unknown;
  readonly ours: unknown;
}

/** Compares the values of two answers to `path`, learning names on the way. */
export function differences(path: string, recorded: unknown, ours: unknown, names: Names): Difference[] {
  const found: Difference[] = [];
  const [left, right] = isShortened(recorded) ? [recorded, ours].map(withoutTarComplaints) : [recorded, ours];
  compare({ path, names, found }, '', '', left, right);
  return found;
}

/** The recorder cut hundreds of lines, one per file of the archive, out of a log. */
function isShortened(answer: unknown): boolean {
  return JSON.stringify(answer ?? null).includes('(lines removed by the recorder)');
}

/** A log without the lines that there is one of per file, numbered anew. */
function withoutTarComplaints(answer: unknown): unknown {
  if (!isRecord(answer) || !Array.isArray(answer['data'])) return answer;
  const rest = answer['data'].filter(
    (line) => !/^tar: \S+: Cannot change ownership|^\(lines removed/.test(isRecord(line) ? textOf(line['t']) : ''),
  );
  return { data: rest.map((line, at) => ({ ...(isRecord(line) ? line : {}), n: at + 1 })), total: rest.length };
}

interface Context {
  readonly path: string;
  readonly names: Names;
  readonly found: Difference[];
}

function compare(context: Context, at: string, key: string, recorded: unknown, ours: unknown): void {
  const differ = (): void => void context.found.push({ at, recorded, ours });
  const rule = keyRules.find(
    (candidate) => candidate.key.test(key) && (candidate.path === undefined || candidate.path.test(context.path)),
  );
  if (rule?.how === 'ignore') return;
  if (recorded === undefined || ours === undefined) return differ();
  if (rule?.how === 'shape') {
    if (kind(recorded) !== kind(ours)) differ();
    return;
  }
  if (Array.isArray(recorded) && Array.isArray(ours)) return compareLists(context, at, recorded, ours);
  if (isRecord(recorded) && isRecord(ours)) {
    for (const name of new Set([...Object.keys(recorded), ...Object.keys(ours)]))
      if (!isStale(context.path, name, recorded, ours) && !isFileTime(name, recorded))
        compare(context, `${at}.${name}`, name, recorded[name], ours[name]);
    return;
  }
  if (!isScalar(recorded) || !isScalar(ours)) {
    if (recorded !== ours) differ();
    return;
  }
  // A Perl scalar is written as number or text, depending on how it was used last.
  const [left, right] = [textOf(recorded), textOf(ours)];
  if (rule?.how === 'near') {
    if (Math.abs(Number(left) - Number(right)) > 5) differ();
    return;
  }
  if (rule?.how === 'learn' && key === 'digest') {
    context.names.learned.set(left, right);
    if (left.length !== right.length) differ();
    return;
  }
  const sorted = (text: string): string => text.split(',').sort().join(',');
  if (rule?.how === 'set' && sorted(left) === sorted(right)) return;
  if (!sameText(left, right, context.names)) differ();
}

/** The time of a backup stands in its name; that of a template or an image changes whenever the file is written. */
function isFileTime(name: string, recorded: Record<string, unknown>): boolean {
  return name === 'ctime' && recorded['content'] !== 'backup' && recorded['volid'] !== undefined;
}

/** pvestatd's figures are up to ten seconds old; which guests it had not seen yet depends on its rhythm. */
function isStale(
  path: string,
  name: string,
  recorded: Record<string, unknown>,
  ours: Record<string, unknown>,
): boolean {
  if (!/^\/(cluster\/resources|pools)/.test(path) || recorded['type'] !== 'lxc') return false;
  if (name === 'status') return true;
  return (
    (recorded['status'] === 'unknown') !== (ours['status'] === 'unknown') &&
    !['id', 'vmid', 'node', 'pool'].includes(name)
  );
}

function compareLists(context: Context, at: string, recorded: readonly unknown[], ours: readonly unknown[]): void {
  if (/\/tasks(\/[^/]+\/log)?$/.test(context.path) || recorded.some((item) => !isRecord(item)))
    return recorded.length === ours.length
      ? recorded.forEach((item, n) => compare(context, `${at}[${n}]`, '', item, ours[n]))
      : void context.found.push({ at, recorded: brief(recorded), ours: brief(ours) });
  // Lists of things have no order: match them by their name, as Perl hashes do not keep one.
  const byName = new Map(ours.map((item) => [translate(nameOf(item), context.names), item]));
  const unmatched: unknown[] = [];
  for (const item of recorded) {
    const name = translate(nameOf(item), context.names);
    if (!byName.has(name)) unmatched.push(item);
    else compare(context, `${at}[${name}]`, '', item, byName.get(name));
    byName.delete(name);
  }
  // A backup that was made a second earlier or later has another name.
  for (const item of unmatched) {
    const alike = [...byName.keys()].find((name) => blankName(name) === blankName(nameOf(item)));
    compare(context, `${at}[${nameOf(item)}]`, '', item, alike === undefined ? undefined : byName.get(alike));
    if (alike !== undefined) byName.delete(alike);
  }
  for (const [name, item] of byName) context.found.push({ at: `${at}[${name}]`, recorded: undefined, ours: item });
}

function blankName(name: string): string {
  return name.replaceAll(/\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d/g, 'TIME');
}

function brief(items: readonly unknown[]): string {
  return items.map((item) => (isRecord(item) && typeof item['t'] === 'string' ? item['t'] : nameOf(item))).join('\n');
}

function nameOf(item: unknown): string {
  if (!isRecord(item)) return textOf(item);
  const keys = 'volid upid poolid userid id key vmid name storage iface subdir node ip-address'.split(' ');
  const acl =
    item['ugid'] === undefined ? '' : `${textOf(item['path'])} ${textOf(item['ugid'])} ${textOf(item['roleid'])}`;
  const key = keys.find((candidate) => item[candidate] !== undefined);
  return acl !== '' ? acl : key === undefined ? JSON.stringify(item) : textOf(item[key]);
}

/** Equal after the text rules, with names learned where they differ. */
export function sameText(recorded: string, ours: string, names: Names): boolean {
  const left = tidy(recorded);
  const right = tidy(ours);
  if (left === right) return true;
  const blank = (text: string): string =>
    learnable.reduce((rest, pattern) => rest.replaceAll(pattern, blankTime), text);
  if (blank(left) !== blank(right)) return false;
  for (const pattern of learnable) {
    const [from, to] = [left.match(pattern) ?? [], right.match(pattern) ?? []];
    for (const [n, name] of from.entries()) {
      const other = to[n] ?? '';
      if (name === other) continue;
      if (pattern === mac && names.given.has(name.toUpperCase())) return false;
      const known = names.learned.get(name);
      if (known !== undefined && known !== other && pattern !== mac) return false;
      names.learned.set(name, other);
    }
  }
  return true;
}

/** The name without what may differ: of a backup the guest stays. */
function blankTime(name: string): string {
  return /^vzdump-lxc-\d+-/.exec(name)?.[0] ?? 'NAME';
}

/** A text with everything replaced that a rule lets differ. */
export function tidy(text: string): string {
  const plain = textRules.reduce((rest, rule) => rest.replaceAll(rule.pattern, rule.becomes), text);
  const job = /^(INFO: starting new backup job: vzdump )(.*)$/s.exec(plain);
  if (job === null) return plain;
  // Order of a Perl hash.
  const [, head = '', options = ''] = job;
  return (
    head +
    options
      .split(/ (?=--)/)
      .sort()
      .join(' ')
  );
}

function isScalar(value: unknown): boolean {
  return ['string', 'number', 'boolean'].includes(typeof value);
}

function kind(value: unknown): string {
  if (Array.isArray(value)) return 'list';
  if (typeof value === 'string' && value !== '' && !Number.isNaN(Number(value))) return 'number';
  return value === null ? 'null' : typeof value;
}
