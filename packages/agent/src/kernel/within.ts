/** Waiting that ends. */
import type { Clock } from './clock.ts';

export type Within<T> = { readonly is: 'ended'; readonly value: T } | { readonly is: 'late' };

/** `late` after `ms`: the work goes on, whoever began it sees to that, and what becomes of it is read by nobody. */
export async function within<T>(work: Promise<T>, ms: number, clock: Pick<Clock, 'sleep'>): Promise<Within<T>> {
  const settled = new AbortController();
  const late = { is: 'late' } as const;
  const limit = clock.sleep(ms, settled.signal).then(() => late);
  try {
    return await Promise.race([work.then((value) => ({ is: 'ended', value }) as const), limit]);
  } finally {
    settled.abort();
  }
}
