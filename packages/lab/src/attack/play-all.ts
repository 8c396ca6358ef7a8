/** Plays tricks on all cores. Each has a host of its own, made from the same seed, so the order changes nothing. */
import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { tricks } from './catalog.ts';
import type { Verdict } from './run-trick.ts';

/** Tells verdicts in the order of the catalog, as soon as it can. `chosen`: places in the catalog. */
export async function playAll(
  chosen: readonly number[],
  folder: string,
  tell: (verdict: Verdict) => void = () => undefined,
): Promise<readonly Verdict[]> {
  const left = [...chosen];
  const verdicts = new Map<number, Verdict>();
  let told = 0;
  const take = (at: number, verdict: Verdict): void => {
    verdicts.set(at, verdict);
    for (let next = verdicts.get(chosen[told] ?? -1); next !== undefined; next = verdicts.get(chosen[told] ?? -1)) {
      tell(next);
      told += 1;
    }
  };
  const count = Math.max(1, Math.min(availableParallelism(), chosen.length, 8));
  await Promise.all(Array.from({ length: count }, () => employ(folder, () => left.shift(), take)));
  return chosen.flatMap((at) => verdicts.get(at) ?? []);
}

function employ(
  folder: string,
  next: () => number | undefined,
  take: (at: number, verdict: Verdict) => void,
): Promise<void> {
  const worker = fork(join(import.meta.dirname, 'worker.ts'), [folder], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  return new Promise((resolve, reject) => {
    const goOn = (): void => {
      const at = next();
      if (at === undefined) worker.disconnect();
      else worker.send(at);
    };
    worker.on('error', reject);
    worker.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`a worker ended with ${code}`))));
    worker.on('message', ({ at, verdict }: { readonly at: number; readonly verdict: Verdict }) => {
      take(at, verdict);
      goOn();
    });
    goOn();
  });
}

/** Places of the tricks whose name has these words. */
export function placesOf(words: string | undefined): readonly number[] {
  return tricks.flatMap(({ name }, at) => (words === undefined || name.includes(words) ? [at] : []));
}
