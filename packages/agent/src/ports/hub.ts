/** The hub as the agent needs it: one question at a time, asked by the agent. */
import type { PollAnswer, PollRequest, Reason } from '@felhom/protocol';

export interface Hub {
  /**
   * One poll. Never throws for what a network or a hub can do wrong: each such thing is a `failed` with its code.
   * Aborting ends the request; whether the hub had already taken it in is then unknown and does not matter.
   */
  poll(request: PollRequest, signal: AbortSignal): Promise<HubAnswer>;
}

export type HubAnswer =
  | { readonly is: 'answered'; readonly answer: PollAnswer }
  /** `retryAfterSeconds` is the hub's own wish where it had one. */
  | { readonly is: 'failed'; readonly why: Reason; readonly retryAfterSeconds?: number };
