// Retention: which backups a keep-* policy covers. Pure. PVE: Storage.pm prune_mark_backup_group.
import type { LocalOffset } from './naming.ts';

export const keepOptions = [
  'keep-last',
  'keep-hourly',
  'keep-daily',
  'keep-weekly',
  'keep-monthly',
  'keep-yearly',
] as const;
export type KeepOption = (typeof keepOptions)[number];

/** A parsed `prune-backups` property string; an empty `keep` without `all` keeps everything too. */
export interface KeepPolicy {
  readonly all: boolean;
  readonly keep: ReadonlyMap<KeepOption, number>;
}

const isKeepOption = (key: string): key is KeepOption => keepOptions.some((option) => option === key);

export type ParsedPolicy =
  | { readonly is: 'policy'; readonly policy: KeepPolicy }
  /** The text behind `invalid format - ` of the 400. */
  | { readonly is: 'invalid'; readonly text: string };

/** Reads `keep-last=3,keep-daily=7`. */
export function parseKeepPolicy(text: string): ParsedPolicy {
  const keep = new Map<KeepOption, number>();
  const wrong: string[] = [];
  let all = false;
  for (const part of text.split(',').filter((entry) => entry !== '')) {
    const [key = '', value = ''] = part.split('=', 2);
    if (key === 'keep-all') all = ['1', 'yes', 'on', 'true'].includes(value);
    else if (!isKeepOption(key)) {
      const reason = 'property is not defined in schema and the schema does not allow additional properties';
      wrong.push(`prune-backups.${key}: ${reason}`);
    } else if (!/^-?\d+$/.test(value)) {
      wrong.push(`prune-backups.${key}: type check ('integer') failed - got '${value}'`);
    } else if (Number(value) < 0) {
      wrong.push(`prune-backups.${key}: value must have a minimum value of 0`);
    } else if (Number(value) > 0) keep.set(key, Number(value));
  }
  if (wrong.length > 0) return { is: 'invalid', text: `format error\n${wrong.join('\n')}\n` };
  if (all && keep.size > 0) return { is: 'invalid', text: 'keep-all cannot be set together with other options.\n' };
  return { is: 'policy', policy: { all, keep } };
}

/** `keep-daily=7, keep-last=3`, as vzdump logs it. */
export function showPolicy(policy: KeepPolicy): string {
  if (policy.all) return 'keep-all=1';
  return [...policy.keep]
    .map(([key, n]) => `${key}=${n}`)
    .sort()
    .join(', ');
}

export const keepsEverything = (policy: KeepPolicy): boolean => policy.all || policy.keep.size === 0;

export interface PruneCandidate {
  readonly ctime: number;
  readonly protected: boolean;
  /** False for a renamed archive: it is listed and never pruned. */
  readonly standardName: boolean;
}

export type Mark = 'keep' | 'remove' | 'protected' | 'renamed';

function period(option: KeepOption, ctime: number, offset: LocalOffset): string {
  const at = new Date(ctime * 1000 + offset(ctime * 1000) * 60_000);
  const iso = at.toISOString();
  const forms = {
    'keep-last': () => String(ctime),
    'keep-hourly': () => iso.slice(0, 13),
    'keep-daily': () => iso.slice(0, 10),
    'keep-weekly': () => isoWeek(at),
    'keep-monthly': () => iso.slice(0, 7),
    'keep-yearly': () => iso.slice(0, 4),
  } satisfies Record<KeepOption, () => string>;
  return forms[option]();
}

/** ISO 8601 week: the week belongs to the year of its Thursday. */
function isoWeek(at: Date): string {
  const thursday = new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()));
  thursday.setUTCDate(thursday.getUTCDate() + 4 - (thursday.getUTCDay() || 7));
  const firstOfYear = Date.UTC(thursday.getUTCFullYear(), 0, 1);
  return `${thursday.getUTCFullYear()}/${Math.ceil(((thursday.getTime() - firstOfYear) / 86_400_000 + 1) / 7)}`;
}

/**
 * One mark per candidate, in the given order. Options apply from the shortest interval to the longest; a period that
 * an earlier option already covers does not count again. Two backups of the same second keep their given order, so of
 * `x.tar` and `x.tar.zst` the first in the listing is the newer one to Proxmox (exchange 36).
 */
export function markBackups(
  candidates: readonly PruneCandidate[],
  policy: KeepPolicy,
  offset: LocalOffset,
): readonly Mark[] {
  const marks = new Map<PruneCandidate, Mark>();
  for (const one of candidates) {
    if (one.protected) marks.set(one, 'protected');
    else if (!one.standardName) marks.set(one, 'renamed');
  }
  const prunable = candidates.filter((one) => !marks.has(one)).sort((a, b) => b.ctime - a.ctime);
  if (keepsEverything(policy)) for (const one of prunable) marks.set(one, 'keep');
  else for (const option of keepOptions) applyOption(prunable, option, policy.keep.get(option) ?? 0, marks, offset);
  return candidates.map((one) => marks.get(one) ?? 'remove');
}

function applyOption(
  newestFirst: readonly PruneCandidate[],
  option: KeepOption,
  count: number,
  marks: Map<PruneCandidate, Mark>,
  offset: LocalOffset,
): void {
  if (count === 0) return;
  const key = (one: PruneCandidate) => period(option, one.ctime, offset);
  const covered = new Set(newestFirst.filter((one) => marks.get(one) === 'keep').map(key));
  const kept = new Set<string>();
  for (const one of newestFirst) {
    const at = key(one);
    if (marks.has(one) || covered.has(at)) continue;
    if (kept.has(at)) marks.set(one, 'remove');
    else if (kept.size >= count) return;
    else {
      kept.add(at);
      marks.set(one, 'keep');
    }
  }
}
