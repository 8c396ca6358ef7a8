/** How much one guest may ask: of requests, at once, of connections. Pure; time is an argument, milliseconds, monotonic. */

export interface Bucket {
  readonly tokens: number;
  readonly at: number;
}

/** A token bucket: `perMinute` flow in, at most `size` are kept. */
export interface Rate {
  readonly perMinute: number;
  readonly size: number;
}

export const fullBucket = (rate: Rate, now: number): Bucket => ({ tokens: rate.size, at: now });

export type Taken =
  | { readonly is: 'taken'; readonly bucket: Bucket }
  /** Until so much is there again. */
  | { readonly is: 'empty'; readonly retryAfterSeconds: number };

export function take(bucket: Bucket, rate: Rate, cost: number, now: number): Taken {
  const elapsed = Math.max(0, now - bucket.at);
  const tokens = Math.min(rate.size, bucket.tokens + (elapsed * rate.perMinute) / 60_000);
  if (tokens >= cost) return { is: 'taken', bucket: { tokens: tokens - cost, at: now } };
  return { is: 'empty', retryAfterSeconds: Math.max(1, Math.ceil(((cost - tokens) * 60) / rate.perMinute)) };
}
