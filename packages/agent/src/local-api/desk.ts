/**
 * Between transport and meaning: the transport says whose guest asks and what, well-formed and within its quota; the
 * desk knows what it means. It never sees a socket, and the transport never sees the journal.
 */
import type { GuestUid, LocalAnswer, LocalBody, LocalRouteName } from '@felhom/protocol';
import type { Outcome } from '../kernel/index.ts';

export interface LocalCall {
  /** Of the path, where the route has one: well-formed, nothing more. Looked up by (guest, id) only [R42]. */
  readonly id?: string;
  readonly query: {
    /** Seconds that the answer may wait for news, 0 to 50. */
    readonly wait?: number;
    readonly generation?: number;
    readonly after?: number;
  };
  readonly idempotencyKey?: string;
  /** Aborted when the guest hangs up, its time is over, or the agent stops. */
  readonly signal: AbortSignal;
}

/** What every route with a token means. `refused` = nothing happened; `unknown` = ask again with the same key. */
export type LocalDesk = {
  readonly [N in Exclude<LocalRouteName, 'redeem' | 'openapi'>]: (
    guest: GuestUid,
    body: LocalBody<N>,
    call: LocalCall,
  ) => Promise<Outcome<LocalAnswer<N>>>;
} & {
  /** Whose guest is behind the port: only known guests get through to the TLS handshake [R27]. */
  readonly guestAtPort: (vmid: number) => GuestUid | undefined;
  readonly redeem: (guest: GuestUid, body: LocalBody<'redeem'>) => Promise<Outcome<LocalAnswer<'redeem'>>>;
  /** Constant work whatever the token. */
  readonly authenticate: (token: string) => GuestUid | undefined;
};
