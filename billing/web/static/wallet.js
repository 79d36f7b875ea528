// Pays from a wallet in this browser: wallets announce themselves (EIP-6963), the reader picks one, and it is asked for one
// transfer of exactly what remains. Nothing here sees a key, and the wallet shows everything before it sends.
"use strict";

(() => {
  const words = document.getElementById("wallet-words")?.dataset;
  if (!words) return;
  const SENT = `sent ${location.pathname}`, TRANSFER = "0xa9059cbb", BALANCE = "0x70a08231", HOUR = 3600000;
  const wallets = new Map();
  let asking = false, told = "", tone = "", sent = "";

  const place = () => document.getElementById("wallets");
  const word = (hex) => hex.replace(/^0x/, "").toLowerCase().padStart(64, "0");
  const filled = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

  // What is to be paid, from the page; null when the page does not ask for a payment that a wallet can make.
  function due() {
    const { chain, token, to, units, network, symbol, amount } = place()?.dataset ?? {};
    const fits = /^\d+$/.test(chain ?? "") && /^\d{1,78}$/.test(units ?? "")
      && [token, to].every((one) => /^0x[0-9a-fA-F]{40}$/.test(one ?? ""));
    return fits ? { chain: `0x${BigInt(chain).toString(16)}`, id: chain, token, to, units, network, symbol, amount } : null;
  }

  const key = ({ chain, token, to, units }) => [chain, token, to, units].join();

  function say(text, how = "") {
    told = text;
    tone = how;
    show();
  }

  function sentBefore() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(SENT) ?? "null");
      return kept && Date.now() - kept.at < HOUR && !document.body.textContent.includes(kept.hash) ? kept.hash : "";
    } catch {
      return "";
    }
  }

  function show() {
    const here = place(), wanted = due();
    if (!here || !wanted || !(wallets.size || told)) return;
    const focused = document.activeElement?.id;
    if (sent && sent !== key(wanted)) sent = told = ""; // something else is asked for by now
    const buttons = (sent ? [] : [...wallets.values()]).map(({ info }, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.id = `wallet-${index}`;
      button.className = "go";
      button.dataset.wallet = info.uuid;
      button.textContent = filled(words.pay, { wallet: info.name, amount: wanted.amount, token: wanted.symbol });
      button.setAttribute("aria-disabled", String(asking));
      return button;
    });
    const line = document.getElementById("wallet-said") ?? document.createElement("p");
    line.id = "wallet-said";
    line.setAttribute("role", "status");
    const before = told ? "" : sentBefore();
    line.className = `wallet-said ${before ? "care" : tone}`;
    line.textContent = before ? filled(words.before, { hash: before }) : told;
    here.replaceChildren(...buttons, line);
    here.hidden = false;
    if (focused?.startsWith("wallet-")) document.getElementById(focused)?.focus();
  }

  // Raises an Error whose message is for the reader.
  async function onChain(ask, wanted, values) {
    const now = async () => BigInt(await ask("eth_chainId"));
    if (await now() === BigInt(wanted.chain)) return;
    say(filled(words.switching, values));
    try {
      await ask("wallet_switchEthereumChain", [{ chainId: wanted.chain }]);
    } catch (error) {
      const code = error?.data?.originalError?.code ?? error?.code;
      throw code === 4902 ? new Told(filled(words.unknown, values)) : error;
    }
    if (await now() !== BigInt(wanted.chain)) throw new Told(filled(words.wrong, values));
  }

  // A wallet would refuse it later, with worse words. A wallet that does not tell a balance is not in the way.
  async function enough(ask, wanted, from, values) {
    let held;
    try {
      held = BigInt(await ask("eth_call", [{ to: wanted.token, data: BALANCE + word(from) }, "latest"]));
    } catch {
      return;
    }
    if (held < BigInt(wanted.units)) throw new Told(filled(words.poor, values));
  }

  // Somebody else may have paid meanwhile: what is sent is what remains now.
  async function fresh() {
    const main = document.querySelector("main[data-status]");
    const answer = await fetch(main.dataset.status, { cache: "no-store" });
    return answer.ok && (await answer.json()).version === main.dataset.version;
  }

  class Told extends Error {}

  async function pay({ info, provider }) {
    const wanted = due();
    if (asking || !wanted) return;
    const values = { wallet: info.name, network: wanted.network, chain: wanted.id, token: wanted.symbol, amount: wanted.amount };
    const ask = (method, params = []) => provider.request({ method, params });
    asking = true;
    try {
      if (!(await fresh())) throw new Told(words.changed);
      say(filled(words.account, values));
      const [from] = await ask("eth_requestAccounts");
      if (!/^0x[0-9a-fA-F]{40}$/.test(from ?? "")) throw new Told(filled(words.nobody, values));
      await onChain(ask, wanted, values);
      await enough(ask, wanted, from, values);
      say(filled(words.confirm, values));
      const data = TRANSFER + word(wanted.to) + word(BigInt(wanted.units).toString(16));
      const hash = await ask("eth_sendTransaction", [{ from, to: wanted.token, data, value: "0x0" }]);
      try {
        sessionStorage.setItem(SENT, JSON.stringify({ hash: String(hash), at: Date.now() }));
      } catch { /* it is only a reminder */ }
      asking = false;
      sent = key(wanted);
      say(filled(words.sent, { ...values, hash: String(hash) }), "good");
    } catch (error) {
      asking = false;
      say(reason(error, values), "care");
    }
  }

  function reason(error, values) {
    if (error instanceof Told) return error.message;
    if (error?.code === 4001) return filled(words.declined, values);
    if (error?.code === -32002) return filled(words.busy, values);
    return filled(words.failed, { ...values, why: String(error?.message ?? error).slice(0, 200) });
  }

  function found(detail) {
    const { info, provider } = detail ?? {};
    if (typeof provider?.request !== "function" || typeof info?.name !== "string" || wallets.size >= 10) return;
    if (!wallets.has(info.uuid)) wallets.set(String(info.uuid), { info, provider });
    show();
  }

  window.addEventListener("eip6963:announceProvider", (event) => found(event.detail));
  window.dispatchEvent(new Event("eip6963:requestProvider"));
  setTimeout(() => { // a wallet from before that standard
    if (!wallets.size && window.ethereum) found({ info: { uuid: "window", name: words.some }, provider: window.ethereum });
  }, 500);
  document.addEventListener("pay:changed", show);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-wallet]");
    if (button) pay(wallets.get(button.dataset.wallet));
  });
})();
