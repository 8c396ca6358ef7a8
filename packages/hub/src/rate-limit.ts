/** Token buckets, in memory and bounded: one per host for polls, one per address for failed credentials. */

export interface RateLimit {
  /** Tokens that come back per second. */
  readonly perSecond: number;
  readonly burst: number;
}

export interface RateLimiter {
  /** Takes one token of `key`. Answers 0, or the seconds until there is one. */
  take(key: string): number;
  /** Whether `key` has a token, without taking it. */
  wait(key: string): number;
}

const mostKeys = 10_000;

/** `now` in milliseconds. At the bound the key that was quiet longest is forgotten, which only ever favours it. */
export function createRateLimiter(limit: RateLimit, now: () => number): RateLimiter {
  const buckets = new Map<string, { tokens: number; at: number }>();
  function levelOf(key: string): { tokens: number; at: number } {
    const at = now();
    const bucket = buckets.get(key);
    if (bucket === undefined) return { tokens: limit.burst, at };
    const elapsed = Math.max(0, at - bucket.at) / 1000;
    return { tokens: Math.min(limit.burst, bucket.tokens + elapsed * limit.perSecond), at };
  }
  function secondsUntilOne(tokens: number): number {
    return tokens >= 1 ? 0 : Math.max(1, Math.ceil((1 - tokens) / limit.perSecond));
  }
  return {
    take(key) {
      const level = levelOf(key);
      const wait = secondsUntilOne(level.tokens);
      if (wait === 0) level.tokens -= 1;
      buckets.delete(key);
      buckets.set(key, level);
      if (buckets.size > mostKeys) {
        const [oldest] = buckets.keys();
        if (oldest !== undefined) buckets.delete(oldest);
      }
      return wait;
    },
    wait: (key) => secondsUntilOne(levelOf(key).tokens),
  };
}
