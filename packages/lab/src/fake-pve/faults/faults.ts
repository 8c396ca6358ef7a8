/**
 * Failures on demand. A rule matches calls by method and path and strikes on the nth match, once, unless it is told to
 * stay. Nothing here is random: the same calls in the same order fail in the same way.
 */
import type { ApiRequest, ApiResponse } from '../core.ts';

export type Fault =
  /** The connection breaks; the work was done only with `after`. */
  | { readonly is: 'drop'; readonly when: 'before' | 'after' }
  /** An HTTP error in place of the answer, e.g. 500, 595 Connection refused, 596 Connection timed out. */
  | { readonly is: 'status'; readonly status: number; readonly reason: string; readonly when: 'before' | 'after' }
  /** The code of the call dies before it does anything: 500 with this text. */
  | { readonly is: 'die'; readonly message: string }
  /** The answer comes late; the work is done at once. */
  | { readonly is: 'delay'; readonly ms: number }
  /** Something happens on the node just before the call, e.g. another creator takes the VMID. */
  | { readonly is: 'meanwhile'; readonly act: () => Promise<void> };

export interface FaultRule {
  readonly method?: ApiRequest['method'];
  readonly path: RegExp;
  /** 1 = the next matching call. */
  readonly nth?: number;
  /** Strikes at every matching call from the nth on. */
  readonly always?: boolean;
  readonly fault: Fault;
}

export interface Faults {
  add(rule: FaultRule): void;
  clear(): void;
  /** The faults that strike this call, counted. */
  strike(method: string, path: string): readonly Fault[];
}

export function createFaults(): Faults {
  let rules: { readonly rule: FaultRule; seen: number }[] = [];
  return {
    add: (rule) => {
      rules.push({ rule, seen: 0 });
    },
    clear: () => {
      rules = [];
    },
    strike(method, path) {
      const struck: Fault[] = [];
      const spent = new Set<object>();
      for (const entry of rules) {
        const { rule } = entry;
        if ((rule.method !== undefined && rule.method !== method) || !rule.path.test(path)) continue;
        entry.seen += 1;
        const nth = rule.nth ?? 1;
        if (entry.seen < nth || (entry.seen > nth && rule.always !== true)) continue;
        struck.push(rule.fault);
        if (rule.always !== true) spent.add(entry);
      }
      rules = rules.filter((entry) => !spent.has(entry));
      return struck;
    },
  };
}

export const droppedConnection: ApiResponse = { status: 0, reason: 'connection dropped', body: null, dropped: true };
