/** What runs in a guest. */
export {};
