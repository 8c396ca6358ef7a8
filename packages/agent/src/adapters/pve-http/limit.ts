/** At most `most` at once, first come first served. Aborting while waiting gives up the place. */
export interface Limit {
  run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
}

/** The promise rejects with `signal.reason` only when aborted before `work` began. */
export function createLimit(most: number): Limit {
  let running = 0;
  const waiting: (() => void)[] = [];
  // A place is handed over, not given back and taken anew: otherwise a newcomer could slip in between.
  const leave = (): void => {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  };
  return {
    async run(work, signal) {
      signal.throwIfAborted();
      if (running >= most) await turn(waiting, signal);
      else running += 1;
      try {
        return await work();
      } finally {
        leave();
      }
    },
  };
}

function turn(waiting: (() => void)[], signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const go = (): void => {
      signal.removeEventListener('abort', giveUp);
      resolve();
    };
    const giveUp = (): void => {
      const at = waiting.indexOf(go);
      if (at >= 0) waiting.splice(at, 1);
      reject(signal.reason);
    };
    waiting.push(go);
    signal.addEventListener('abort', giveUp, { once: true });
  });
}
