"use strict";
(async () => {
  const held = (id) => document.getElementById("data-" + id);
  const bytes = (id) => Uint8Array.from(atob(held(id).textContent), (c) => c.charCodeAt(0)).buffer;
  const meshes = [...document.querySelectorAll("script[id^=data-mesh-]")].map((part) => part.id.slice(5));
  const say = (state) => (document.documentElement.dataset.viewer = state);
  if (!document.createElement("canvas").getContext("webgl2")) return say("none");
  const look = { backColor: [0.051, 0.067, 0.09, 1], fontColor: [0.78, 0.82, 0.86, 1], loadingText: "", dragAndDropEnabled: false, logLevel: "error", scrollRequiresFocus: true };

  async function slices() {
    const box = document.getElementById("slices-screen").closest(".live");
    box.classList.add("shown");
    const view = new niivue.Niivue({ ...look, isRadiologicalConvention: true, multiplanarShowRender: 0, crosshairColor: [0.34, 0.71, 0.91, 0.7], crosshairWidth: 1, multiplanarLayout: box.clientWidth < 700 ? 0 : 3, sagittalNoseLeft: true });
    await view.attachToCanvas(document.getElementById("slices"));
    view.addVolume(await niivue.NVImage.loadFromBase64({ base64: held("ct").textContent, name: "ct.nrrd", colormap: "gray", cal_min: 0, cal_max: 255 }));
    const mask = await niivue.NVImage.loadFromBase64({ base64: held("mask").textContent, name: "mask.nrrd", opacity: 0.02 });
    mask.hdr.intent_code = 1002; // labels: their outline can be drawn
    mask.setColormapLabel({ R: [0, 240, 240, 240], G: [0, 228, 228, 228], B: [0, 66, 66, 66], A: [0, 255, 255, 255], I: [0, 1, 2, 3], labels: ["", "left femur", "right femur", "femur"] });
    view.addVolume(mask);
    view.opts.showLegend = false;
    view.setAtlasOutline(1);
    const [x, y, z] = held("ct").dataset.at.split(",").map(Number);
    view.scene.crosshairPos = view.mm2frac([-x, -y, z]);
    view.drawScene();
    for (const part of box.querySelectorAll("[data-live]")) part.hidden = false;
  }

  async function surface() {
    const box = document.getElementById("mesh-screen").closest("section");
    box.classList.add("shown");
    const view = new niivue.Niivue({ ...look, sliceType: 4, show3Dcrosshair: false, isOrientCube: true });
    await view.attachToCanvas(document.getElementById("mesh"));
    for (const id of meshes) view.addMesh(await niivue.NVMesh.readMesh(bytes(id), id + ".mz3", view.gl));
    view.setSliceType(4);
    for (const [name, azimuth, elevation] of [["Front", 180, 0], ["Back", 0, 0], ["Patient's left", 90, 0], ["Patient's right", 270, 0], ["From above", 180, 90]]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.onclick = () => view.setRenderAzimuthElevation(azimuth, elevation);
      document.getElementById("views").append(button);
    }
    for (const mesh of view.meshes) view.setMeshShader(mesh.id, "Matte");
    view.setScale(0.8); // a femur is longer than NiiVue expects
    view.setRenderAzimuthElevation(180, 0);
  }

  try {
    if (held("ct")) await slices();
    if (meshes.length) await surface();
    say("shown");
  } catch (error) {
    for (const part of document.querySelectorAll(".shown")) part.classList.remove("shown");
    say("failed: " + error);
  }
})();
