/**
 * A process that can be killed at any await: every call of its ports is counted, and at the fatal one, before or after its
 * effect, and at every later one, nothing ever comes back. That is what a killed process looks like from outside.
 */
export interface Mortal {
  readonly calls: () => number;
  readonly dead: () => boolean;
  /** The port as the process sees it. */
  wrap<T extends object>(port: T): T;
}

export function mortal(fatal: number, when: 'before' | 'after'): Mortal {
  let calls = 0;
  let dead = false;
  const gone = new Promise<never>(() => undefined);
  return {
    calls: () => calls,
    dead: () => dead,
    wrap: (port) =>
      new Proxy(port, {
        get: (target, name, receiver) => {
          const value: unknown = Reflect.get(target, name, receiver);
          if (typeof value !== 'function') return value;
          return (...args: unknown[]): unknown => {
            const call = (): unknown => Reflect.apply(value, target, args);
            if (name === 'now' || name === 'say') return call();
            if (dead) return gone;
            calls += 1;
            const isFatal = calls === fatal;
            if (isFatal && when === 'before') dead = true;
            if (dead) return gone;
            const result = call();
            if (isFatal) dead = true;
            return Promise.resolve(result).then(
              (answer) => (dead ? gone : answer),
              (error: unknown) => (dead ? gone : Promise.reject(error as Error)),
            );
          };
        },
      }),
  };
}
