// Who looks, and whether he may act. A one-time link ends in `#code`: the code goes to the server once, which answers
// with a cookie that no script can read, and it is taken out of the address.

import { get, post, Refused } from "./api.js";
import { say } from "./dom.js";

export const session = {
  mayAct: false,
  name: "",

  async begin() {
    const code = decodeURIComponent(location.hash.slice(1));
    if (code) history.replaceState({}, "", location.pathname + location.search);
    try {
      if (code) await post("/api/v1/login", { token: code });
      const told = await get("/api/v1/whoami");
      this.mayAct = told.may_act;
      this.name = told.name;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (code) say(error.message);
    }
  },
};
