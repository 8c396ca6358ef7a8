/** The seam below the adapter: one request, one raw answer. HTTPS in production, a function call in the lab. */

export interface RawRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Below `/api2/json`, percent-encoded, query included. */
  readonly path: string;
  /** Form-encoded; only ever with POST and PUT. */
  readonly body: string | undefined;
  /** Lower-case names; `authorization` holds the token, so these are never logged. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface WholeAnswer {
  readonly status: number;
  /** The reason phrase: before PVE 8.3 the only place where an error's text stands. */
  readonly reason: string;
  readonly contentType: string | undefined;
  readonly body: string;
}

export type TransportFailure =
  /** Proven: not one byte of the request left. */
  | { readonly is: 'not-sent'; readonly code: string; readonly text: string }
  /** As `not-sent`, and waiting will not mend it. */
  | {
      readonly is: 'untrusted';
      readonly why: 'untrusted' | 'expired' | 'not-yet-valid' | 'pin-mismatch';
      readonly text: string;
    }
  /** The connection broke; whether the request arrived is not known. */
  | { readonly is: 'lost'; readonly code: string; readonly text: string }
  | { readonly is: 'timeout'; readonly afterMs: number }
  | { readonly is: 'too-large'; readonly limitBytes: number }
  | { readonly is: 'aborted' };

export type RawAnswer =
  | { readonly is: 'answered'; readonly answer: WholeAnswer }
  | { readonly is: 'failed'; readonly failure: TransportFailure };

/**
 * Sends one request. Never throws and never retries; aborting ends the waiting and leaves open what the node did.
 * Time limits are the caller's business, so that a simulated clock governs them.
 */
export interface Transport {
  send(request: RawRequest, signal: AbortSignal): Promise<RawAnswer>;
  close(): Promise<void>;
}
